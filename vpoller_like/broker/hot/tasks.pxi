# Writes TASKS as msgspec does, but each task as it is given: no object is made of it.

cdef enum:
    # Bytes of a pack at first; and of a task beside its texts: numbers, and heads of five bytes.
    PACK_ROOM = 4096
    HEADS = 64


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class Pack:
    """Tasks for one worker, one after the other, in parts that are a message each.

    A part closes when its bodies reach ``MAX_PACK`` bytes.
    """

    cdef unsigned char *_start
    cdef Py_ssize_t _size, _room
    cdef Py_ssize_t count
    # Of the part that is open: where it begins, its tasks, and the bytes of their bodies.
    cdef Py_ssize_t _opened, _open_count, _open_bytes
    # Of those that are closed: where each begins and ends, and its tasks.
    cdef list _closed

    def __dealloc__(self):
        PyMem_Free(self._start)

    cdef int add(
        self,
        unsigned long long number,
        unsigned long long attempt,
        str method,
        str hostname,
        str principal,
        str id,
        bytes mark,
        bytes body,
    ) except -1:
        cdef Text[4] texts
        cdef Py_ssize_t index, size = HEADS
        cdef unsigned char *at
        take_text(&texts[0], method)
        take_text(&texts[1], hostname)
        take_text(&texts[2], principal)
        take_text(&texts[3], id)
        for index in range(4):
            size += texts[index].size
        size += (0 if mark is None else len(mark)) + (0 if body is None else len(body))
        self._make_room(size)
        if self._open_bytes >= MAX_PACK:
            self._close()
        at = self._start + self._size
        at[0] = 0x98
        at = write_number(write_number(at + 1, number), attempt)
        for index in range(4):
            at = write_text(at, &texts[index])
        at = write_bytes(at, mark)
        at = write_bytes(at, b"" if body is None else body)
        self._size = at - self._start
        self.count += 1
        self._open_count += 1
        self._open_bytes += 0 if body is None else len(body)
        return 0

    cdef int add_items(self, items) except -1:
        for item in items:
            self.add(
                item.task,
                item.attempt,
                item.method,
                item.hostname,
                item.principal,
                item.id,
                item.fingerprint,
                item.body,
            )
        return 0

    cdef int _make_room(self, Py_ssize_t size) except -1:
        cdef Py_ssize_t room = self._size + size
        cdef unsigned char *start
        if room <= self._room:
            return 0
        room = max(room, 2 * self._room, PACK_ROOM)
        start = <unsigned char *>PyMem_Realloc(self._start, room)
        if start == NULL:
            raise MemoryError
        self._start, self._room = start, room
        return 0

    cdef int _close(self) except -1:
        if self._closed is None:
            self._closed = []
        self._closed.append((self._opened, self._size, self._open_count))
        self._opened = self._size
        self._open_count = self._open_bytes = 0
        return 0

    cdef Pack joined(self, Pack other):
        """Return a pack of its tasks, and those of ``other`` behind them."""
        cdef Pack both = Pack.__new__(Pack)
        if self._closed or other._closed or self._open_bytes + other._open_bytes >= MAX_PACK:
            both.add_items(self.items())
            both.add_items(other.items())
            return both
        both._make_room(self._size + other._size)
        memcpy(both._start, self._start, self._size)
        memcpy(both._start + self._size, other._start, other._size)
        both._size = self._size + other._size
        both.count = both._open_count = self.count + other.count
        both._open_bytes = self._open_bytes + other._open_bytes
        return both

    cdef list frames(self, unsigned long long session):
        """Return the frames of TASKS."""
        cdef list frames = []
        cdef Py_ssize_t begin, end, count
        for begin, end, count in self._closed or ():
            frames.append(self._frame(session, begin, end, count))
        frames.append(self._frame(session, self._opened, self._size, self._open_count))
        return frames

    cdef bytes _frame(
        self, unsigned long long session, Py_ssize_t begin, Py_ssize_t end, Py_ssize_t count
    ):
        cdef unsigned char[HEADS] head
        cdef unsigned char *at
        cdef bytes frame
        head[0] = 0x92
        at = write_head(write_number(&head[1], session), count, 0x90, 16, 0, 0xDC)
        frame = PyBytes_FromStringAndSize(NULL, (at - head) + (end - begin))
        memcpy(PyBytes_AS_STRING(frame), head, at - head)
        memcpy(PyBytes_AS_STRING(frame) + (at - head), self._start + begin, end - begin)
        return frame

    cdef list items(self):
        """Return the tasks as Python's objects."""
        return [item for frame in self.frames(0) for item in _read_tasks(frame).items]


cdef int take_text(Text *text, str value) except -1:
    text.start, text.size = NULL, 0
    if value is not None:
        text.start = <const unsigned char *>PyUnicode_AsUTF8AndSize(value, &text.size)
    return 0


cdef unsigned char *write_text(unsigned char *at, const Text *text) noexcept:
    if text.start == NULL:
        at[0] = 0xC0
        return at + 1
    at = write_head(at, text.size, 0xA0, 32, 0xD9, 0xDA)
    memcpy(at, text.start, text.size)
    return at + text.size


cdef unsigned char *write_bytes(unsigned char *at, bytes value) noexcept:
    if value is None:
        at[0] = 0xC0
        return at + 1
    at = write_head(at, len(value), 0, 0, 0xC4, 0xC5)
    memcpy(at, <const char *>value, len(value))
    return at + len(value)


cdef unsigned char *write_head(
    unsigned char *at, Py_ssize_t size, unsigned char tiny, Py_ssize_t few,
    unsigned char short, unsigned char long,
) noexcept:  # fmt: skip
    """Write a head: ``tiny`` with the size in it below ``few``; with a byte, if there is such a
    kind; with two; and with four.
    """
    if size < few:
        at[0] = tiny | <unsigned char>size
        return at + 1
    if short and size <= 0xFF:
        at[0] = short
        return write_big(at + 1, size, 1)
    if size <= 0xFFFF:
        at[0] = long
        return write_big(at + 1, size, 2)
    at[0] = long + 1
    return write_big(at + 1, size, 4)


cdef unsigned char *write_number(unsigned char *at, unsigned long long number) noexcept:
    if number < 128:
        at[0] = <unsigned char>number
        return at + 1
    if number <= 0xFF:
        at[0] = 0xCC
        return write_big(at + 1, number, 1)
    if number <= 0xFFFF:
        at[0] = 0xCD
        return write_big(at + 1, number, 2)
    if number <= 0xFFFFFFFF:
        at[0] = 0xCE
        return write_big(at + 1, number, 4)
    at[0] = 0xCF
    return write_big(at + 1, number, 8)


cdef inline unsigned char *write_big(
    unsigned char *at, unsigned long long number, int size
) noexcept:
    """Write the last ``size`` bytes of ``number``, the greatest first."""
    cdef int index
    for index in range(size):
        at[index] = <unsigned char>(number >> 8 * (size - 1 - index))
    return at + size
