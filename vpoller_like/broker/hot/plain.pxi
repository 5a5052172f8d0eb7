# Reads a plain request in JSON in one go over its text: what routes it, and, where it has an id, the
# text that its fingerprint is taken of: without ``meta``, without spaces, objects' keys sorted. Plain
# are texts in ASCII without escapes, whole numbers, words, arrays, and objects with few keys, nested
# a little. Of those msgspec reads the same and writes the very same; all others are left to it, and so
# is whatever is wrong.

cdef enum:
    # Objects and arrays in one another.
    DEEP = 5
    # Keys of one object.
    WIDE = 32
    # Digits of a number that is written as it is read, and of one that is read here.
    DIGITS = 18
    READ_DIGITS = 15
    # Bytes of a body.
    LONGEST = 1 << 20
    ZERO = 48
    BACKSLASH = 92
    # Texts that are kept: methods and hosts, of which there are few.
    KEPT = 512


cdef struct Text:
    # Without its quotes; NULL where there is none.
    const unsigned char *start
    Py_ssize_t size


cdef struct Scan:
    const unsigned char *at
    const unsigned char *end
    # Where the next byte is written. As much is written as was read, at most.
    unsigned char *out
    # As large as what is written, for sorting.
    unsigned char *spare
    # What routes the request. Milliseconds are below zero where they are not given.
    Text method, hostname, id
    bint has_hostname, has_meta, moved
    double age_ms, deadline_ms
    long priority


cdef struct Pair:
    Text key
    # The key and its value as they are written, with a comma.
    unsigned char *text
    Py_ssize_t length


cdef unsigned char[256] PLAIN
for _byte in range(256):
    # Those that stand for themselves in a text, and are written as they are.
    PLAIN[_byte] = 32 <= _byte < 127 and _byte not in b'"\\'

cdef double[READ_DIGITS + 1] TENS
for _byte in range(READ_DIGITS + 1):
    TENS[_byte] = 10.0**_byte

cdef list _kept = [""] * KEPT


cdef int scan_request(Scan *scan, unsigned char *room) noexcept nogil:
    """Read the request at ``scan.at``; ``room`` is twice as large as what is left, and two bytes.

    Say whether it is plain. What it is without its ``meta`` is written at the start of ``room``.
    """
    scan.out = room
    scan.spare = room + (scan.end - scan.at) + 1
    scan.method.start = scan.hostname.start = scan.id.start = NULL
    scan.has_hostname = scan.has_meta = scan.moved = False
    scan.age_ms = scan.deadline_ms = -1
    scan.priority = DEFAULT_PRIORITY
    return scan_object(scan, 1, True) and scan.method.start != NULL


# What requests are written into while they are read. It is not given back: only as much of it is
# in memory as was written, and the largest body is the limit.
cdef unsigned char *_room = NULL
cdef Py_ssize_t _room_size = 0


cdef unsigned char *room_for(Py_ssize_t size) noexcept:
    """Return room for a body of so many bytes; NULL for one that is too large.

    It is good until another thread may run: a broker there uses the same.
    """
    global _room, _room_size
    cdef Py_ssize_t wanted = 2 * size + 2
    cdef void *found
    if size > LONGEST:
        return NULL
    if wanted > _room_size:
        found = PyMem_Realloc(_room, wanted)
        if found == NULL:
            return NULL
        _room, _room_size = <unsigned char *>found, wanted
    return _room


cdef str kept_text(const Text *text):
    """Return the text, mostly the object that was made of the same one before."""
    cdef Py_ssize_t index
    cdef unsigned long long mixed = 14695981039346656037ULL
    cdef str found
    for index in range(text.size):
        mixed = (mixed ^ text.start[index]) * 1099511628211ULL
    index = <Py_ssize_t>(mixed % KEPT)
    found = <str>_kept[index]
    if PyUnicode_GET_LENGTH(found) != text.size or memcmp(
        PyUnicode_DATA(found), text.start, text.size
    ):
        found = new_text(text)
        _kept[index] = found
    return found


cdef inline str new_text(const Text *text):
    return PyUnicode_DecodeASCII(<const char *>text.start, text.size, NULL)


cdef inline void skip_spaces(Scan *scan) noexcept nogil:
    while scan.at < scan.end and (
        scan.at[0] == b" " or scan.at[0] == b"\n" or scan.at[0] == b"\t" or scan.at[0] == b"\r"
    ):
        scan.at += 1


cdef inline bint takes(Scan *scan, unsigned char wanted) noexcept nogil:
    """Go beyond spaces and the ``wanted`` byte, if that is the next one."""
    skip_spaces(scan)
    if scan.at < scan.end and scan.at[0] == wanted:
        scan.at += 1
        return True
    return False


cdef bint scan_object(Scan *scan, int depth, bint whole) noexcept nogil:
    """Write an object; one that is the ``whole`` request without its ``meta``."""
    cdef Pair pairs[WIDE]
    cdef Py_ssize_t count = 0
    cdef unsigned char *start
    cdef Pair *pair
    if depth > DEEP or not takes(scan, b"{"):
        return False
    scan.out[0] = b"{"
    scan.out += 1
    if takes(scan, b"}"):
        scan.out[0] = b"}"
        scan.out += 1
        return True
    while count < WIDE:
        start = scan.out
        pair = &pairs[count]
        skip_spaces(scan)
        if not scan_text(scan, &pair.key) or not takes(scan, b":"):
            return False
        scan.out[0] = b":"
        scan.out += 1
        if whole and is_word(&pair.key, b"meta", 4):
            if not scan_meta(scan):
                return False
            scan.out = start
        else:
            if not (scan_routing(scan, pair) if whole else scan_value(scan, depth)):
                return False
            scan.out[0] = b","
            scan.out += 1
            pair.text = start
            pair.length = scan.out - start
            count += 1
        if takes(scan, b"}"):
            return close_object(scan, pairs, count)
        if not takes(scan, b","):
            return False
    return False


cdef inline bint is_word(const Text *text, const char *word, Py_ssize_t size) noexcept nogil:
    return text.size == size and memcmp(text.start, word, size) == 0


cdef bint scan_routing(Scan *scan, const Pair *pair) noexcept nogil:
    """Write the value of one of a request's own keys; keep what routes it."""
    cdef Text text
    if is_word(&pair.key, b"method", 6):
        skip_spaces(scan)
        return (
            scan.method.start == NULL
            and scan_text(scan, &scan.method)
            and 0 < scan.method.size <= MAX_METHOD
        )
    if is_word(&pair.key, b"hostname", 8):
        if scan.has_hostname:
            return False
        scan.has_hostname = True
        return scan_text_or_null(scan, &scan.hostname) and scan.hostname.size <= MAX_HOSTNAME
    return scan_value(scan, 1)


cdef bint close_object(Scan *scan, Pair *pairs, Py_ssize_t count) noexcept nogil:
    """Sort what is written of an object; say whether each of its keys is there once."""
    cdef Py_ssize_t index, place
    cdef bint is_sorted = True
    cdef unsigned char *start
    cdef Pair pair
    if not count:
        scan.out[0] = b"}"
        scan.out += 1
        return True
    start = pairs[0].text
    for index in range(1, count):
        pair = pairs[index]
        place = index
        while place and order_of(&pair, &pairs[place - 1]) < 0:
            pairs[place] = pairs[place - 1]
            place -= 1
        if place and order_of(&pair, &pairs[place - 1]) == 0:
            return False
        pairs[place] = pair
        is_sorted = is_sorted and place == index
    if not is_sorted:
        memcpy(scan.spare, start, scan.out - start)
        scan.out = start
        for index in range(count):
            memcpy(scan.out, scan.spare + (pairs[index].text - start), pairs[index].length)
            scan.out += pairs[index].length
    # In the place of the last comma.
    (scan.out - 1)[0] = b"}"
    return True


cdef inline int order_of(const Pair *one, const Pair *other) noexcept nogil:
    cdef int order = memcmp(one.key.start, other.key.start, min(one.key.size, other.key.size))
    if order or one.key.size == other.key.size:
        return order
    return -1 if one.key.size < other.key.size else 1


cdef bint scan_value(Scan *scan, int depth) noexcept nogil:
    cdef unsigned char first
    cdef Text text
    skip_spaces(scan)
    if scan.at == scan.end:
        return False
    first = scan.at[0]
    if first == b'"':
        return scan_text(scan, &text)
    if first == b"{":
        return scan_object(scan, depth + 1, False)
    if first == b"[":
        return scan_array(scan, depth + 1)
    if first == b"t":
        return scan_word(scan, b"true", 4)
    if first == b"f":
        return scan_word(scan, b"false", 5)
    if first == b"n":
        return scan_word(scan, b"null", 4)
    return scan_number(scan)


cdef bint scan_array(Scan *scan, int depth) noexcept nogil:
    if depth > DEEP or not takes(scan, b"["):
        return False
    scan.out[0] = b"["
    scan.out += 1
    if takes(scan, b"]"):
        scan.out[0] = b"]"
        scan.out += 1
        return True
    while True:
        if not scan_value(scan, depth):
            return False
        if takes(scan, b"]"):
            scan.out[0] = b"]"
            scan.out += 1
            return True
        if not takes(scan, b","):
            return False
        scan.out[0] = b","
        scan.out += 1


cdef bint scan_text(Scan *scan, Text *text) noexcept nogil:
    """Write a text with its quotes."""
    cdef const unsigned char *start = scan.at
    cdef const unsigned char *quote
    cdef Py_ssize_t index, size
    cdef unsigned char odd = 0
    if start >= scan.end or start[0] != b'"':
        return False
    quote = <const unsigned char *>memchr(start + 1, b'"', scan.end - start - 1)
    if quote == NULL:
        return False
    size = quote - start + 1
    # Not left sooner: so a compiler looks at many bytes at once.
    for index in range(1, size - 1):
        odd |= (start[index] < 32) | (start[index] > 126) | (start[index] == BACKSLASH)
    if odd:
        return False
    text.start, text.size = start + 1, size - 2
    memcpy(scan.out, start, size)
    scan.out += size
    scan.at = quote + 1
    return True


cdef bint scan_text_or_null(Scan *scan, Text *text) noexcept nogil:
    skip_spaces(scan)
    text.start, text.size = NULL, 0
    if scan.at < scan.end and scan.at[0] == b"n":
        return scan_word(scan, b"null", 4)
    return scan_text(scan, text)


cdef bint scan_word(Scan *scan, const char *word, Py_ssize_t size) noexcept nogil:
    if scan.end - scan.at < size or memcmp(scan.at, word, size) != 0:
        return False
    memcpy(scan.out, word, size)
    scan.at += size
    scan.out += size
    return True


cdef bint scan_number(Scan *scan) noexcept nogil:
    """Write a whole number, which stands as it is written."""
    cdef const unsigned char *start = scan.at
    cdef const unsigned char *at = start
    cdef const unsigned char *digits
    if at < scan.end and at[0] == b"-":
        at += 1
    digits = at
    while at < scan.end and is_digit(at[0]):
        at += 1
    # None, a zero before others, a negative zero, or more than are written as they are read.
    if at == digits or at - digits > DIGITS:
        return False
    if digits[0] == b"0" and (at - digits > 1 or digits != start):
        return False
    if at < scan.end and (at[0] == b"." or at[0] == b"e" or at[0] == b"E"):
        return False
    memcpy(scan.out, start, at - start)
    scan.out += at - start
    scan.at = at
    return True


cdef inline bint is_digit(unsigned char byte) noexcept nogil:
    return b"0" <= byte <= b"9"


cdef bint scan_meta(Scan *scan) noexcept nogil:
    """Read ``meta``. What is written of it is taken back by who calls."""
    cdef Text key
    cdef Text text
    # Of the keys that are known, one bit each: those that were there.
    cdef unsigned int seen = 0
    cdef unsigned int known
    if scan.has_meta or not takes(scan, b"{"):
        return False
    scan.has_meta = True
    if takes(scan, b"}"):
        return True
    while True:
        skip_spaces(scan)
        if not scan_text(scan, &key) or not takes(scan, b":"):
            return False
        skip_spaces(scan)
        if is_word(&key, b"id", 2):
            known = 1
            if not scan_text_or_null(scan, &scan.id):
                return False
            if scan.id.start != NULL and not 0 < scan.id.size <= MAX_ID:
                return False
        elif is_word(&key, b"age_ms", 6):
            known = 2
            if not scan_milliseconds(scan, &scan.age_ms):
                return False
        elif is_word(&key, b"deadline_ms", 11):
            known = 4
            if not scan_milliseconds(scan, &scan.deadline_ms):
                return False
        elif is_word(&key, b"moved", 5):
            known = 8
            scan.moved = scan.at < scan.end and scan.at[0] == b"t"
            if not (scan_word(scan, b"true", 4) or scan_word(scan, b"false", 5)):
                return False
        elif is_word(&key, b"priority", 8):
            known = 16
            if scan.at == scan.end or not is_digit(scan.at[0]):
                return False
            scan.priority = scan.at[0] - ZERO
            scan.at += 1
        elif is_word(&key, b"traceparent", 11):
            known = 32
            if not scan_text_or_null(scan, &text) or text.size > MAX_TRACEPARENT:
                return False
        else:
            return False
        if seen & known:
            return False
        seen |= known
        if takes(scan, b"}"):
            return True
        if not takes(scan, b","):
            return False


cdef bint scan_milliseconds(Scan *scan, double *read) noexcept nogil:
    """Read a number that is not negative, with few digits, or null."""
    cdef const unsigned char *start = scan.at
    cdef const unsigned char *at = start
    cdef unsigned long long digits = 0
    cdef int count = 0
    cdef int behind = 0
    if at < scan.end and at[0] == b"n":
        return scan_word(scan, b"null", 4)
    while at < scan.end and is_digit(at[0]) and count < READ_DIGITS:
        digits = digits * 10 + (at[0] - ZERO)
        count += 1
        at += 1
    if not count or (start[0] == b"0" and count > 1):
        return False
    if at < scan.end and at[0] == b".":
        at += 1
        while at < scan.end and is_digit(at[0]) and count < READ_DIGITS:
            digits = digits * 10 + (at[0] - ZERO)
            count += 1
            behind += 1
            at += 1
        if not behind:
            return False
    # What follows belongs to no number that is read here.
    if at < scan.end and (is_digit(at[0]) or at[0] == b"." or at[0] == b"e" or at[0] == b"E"):
        return False
    # Both are exact, so this is what is nearest to the text.
    read[0] = digits / TENS[behind]
    scan.at = at
    return read[0] <= MAX_MILLISECONDS
