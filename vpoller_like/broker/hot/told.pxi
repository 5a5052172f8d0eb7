# What a reply's ``meta`` tells of its task beside the id, in numbers, and how it is written in JSON.

cdef enum:
    # Bytes of an id and a label, together, that are written here.
    TEXTS = 400
    # Of all that is written beside them: names, numbers of 20 digits, and braces.
    REST = 160

# Microseconds from which on a number of milliseconds is not written here.
cdef long long EXACT = 1_000_000_000_000_000


cdef struct Told:
    long attempts
    # In microseconds; below zero: not told.
    long long queued, ran


cdef void tell(Task task, long long ran, Told *told) noexcept:
    cdef Worker worker = task.worker
    told.ran = ran
    if worker is None:
        told.attempts = task.losses
        told.queued = -1
    else:
        told.attempts = task.losses + 1
        told.queued = max(0, <long long>((task.given_at - task.arrived) * 1e6 + 0.5))


cdef object meta_of(id, label, const Told *told):
    """Return it as one of Python's objects."""
    return _ReplyMeta(
        id,
        label,
        told.attempts,
        None if told.queued < 0 else <object>told.queued / 1000,
        None if told.ran < 0 else <object>told.ran / 1000,
    )


cdef bytes with_told(bytes body, id, label, const Told *told, encoding):
    """Return the reply ``body`` with its ``meta``."""
    cdef bytes written = None
    if encoding is _JSON:
        written = with_plain_told(body, id, label, told)
    return _with_meta(body, meta_of(id, label, told), encoding) if written is None else written


cdef bytes with_plain_told(bytes body, id, label, const Told *told):
    """Do that of a reply in JSON that has no space at its end, and of a plain id and label.

    None where it is not that plain.
    """
    cdef char text[TEXTS + REST]
    cdef char *at = text
    cdef Py_ssize_t size = len(body)
    cdef const unsigned char *old = body
    cdef bytes written
    if size < 3 or old[size - 1] != b"}" or old[size - 2] <= b" " or old[size - 2] == b"{":
        return None
    if told.queued >= EXACT or told.ran >= EXACT or plain_size(id) + plain_size(label) > TEXTS:
        return None
    at = put(at, b',"meta":{', 9)
    if id is not None:
        at = put_text(put(at, b'"id":', 5), id)
    if label is not None:
        at = put_text(put(at, b'"worker":', 9), label)
    if told.attempts:
        at = put_number(put(at, b'"attempts":', 11), told.attempts)
        at = put(at, b",", 1)
    if told.queued >= 0:
        at = put_thousandths(put(at, b'"queued_ms":', 12), told.queued)
    if told.ran >= 0:
        at = put_thousandths(put(at, b'"ran_ms":', 9), told.ran)
    # In the place of the last comma, if there is one.
    if (at - 1)[0] == b",":
        at -= 1
    at = put(at, b"}}", 2)
    written = PyBytes_FromStringAndSize(NULL, size - 1 + (at - text))
    memcpy(PyBytes_AS_STRING(written), <const char *>old, size - 1)
    memcpy(PyBytes_AS_STRING(written) + size - 1, text, at - text)
    return written


cdef Py_ssize_t plain_size(text) except -1:
    """Return how long ``text`` is, and more than ``TEXTS`` where it is not plain."""
    cdef Py_ssize_t index
    cdef const unsigned char *bytes_of_it
    if text is None:
        return 0
    if not isinstance(text, str) or not PyUnicode_IS_COMPACT_ASCII(text):
        return TEXTS + 1
    bytes_of_it = <const unsigned char *>PyUnicode_DATA(text)
    for index in range(PyUnicode_GET_LENGTH(text)):
        if not PLAIN[bytes_of_it[index]]:
            return TEXTS + 1
    return PyUnicode_GET_LENGTH(text)


cdef inline char *put(char *at, const char *text, Py_ssize_t size) noexcept nogil:
    memcpy(at, text, size)
    return at + size


cdef inline char *put_text(char *at, text) noexcept:
    """Write a plain ``text`` in quotes, and a comma."""
    at = put(at, b'"', 1)
    at = put(at, <const char *>PyUnicode_DATA(text), PyUnicode_GET_LENGTH(text))
    return put(at, b'",', 2)


cdef char *put_number(char *at, unsigned long long number) noexcept nogil:
    cdef char digits[20]
    cdef int count = 0
    while True:
        count += 1
        digits[20 - count] = <char>(ZERO + number % 10)
        number //= 10
        if not number:
            return put(at, &digits[20 - count], count)


cdef char *put_thousandths(char *at, unsigned long long number) noexcept nogil:
    """Write ``number`` / 1000 as the shortest text that is read as it, and a comma."""
    cdef unsigned int rest = <unsigned int>(number % 1000)
    at = put_number(at, number // 1000)
    at = put(at, b".", 1)
    at[0] = <char>(ZERO + rest // 100)
    at += 1
    if rest % 100:
        at[0] = <char>(ZERO + rest // 10 % 10)
        at += 1
        if rest % 10:
            at[0] = <char>(ZERO + rest % 10)
            at += 1
    return put(at, b",", 1)
