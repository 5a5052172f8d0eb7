cdef enum:
    # Bytes of a fingerprint that was taken here.
    MARK = 16


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Remembered:
    """One is kept for a long time, and there are many: what can be is in it, not an object."""

    cdef readonly bytes body
    cdef readonly object encoding
    cdef readonly double arrived, finished
    # As it is usually: of this size.
    cdef unsigned char mark[MARK]
    # Any other one.
    cdef bytes odd_mark
    # What is told is there, and with which id and label.
    cdef bint is_told
    cdef Told told
    cdef object id, label
    # What was made in Python.
    cdef object _meta

    def __init__(
        self, bytes fingerprint not None, bytes body, encoding, meta, double arrived, double finished
    ):
        self.keep_mark(fingerprint)
        self.body = body
        self.encoding = encoding
        self._meta = meta
        self.arrived = arrived
        self.finished = finished

    cdef void keep_mark(self, bytes fingerprint) noexcept:
        if len(fingerprint) == MARK:
            memcpy(self.mark, <const char *>fingerprint, MARK)
        else:
            self.odd_mark = fingerprint

    @property
    def fingerprint(self):
        if self.odd_mark is not None:
            return self.odd_mark
        return PyBytes_FromStringAndSize(<char *>self.mark, MARK)

    @property
    def meta(self):
        return meta_of(self.id, self.label, &self.told) if self.is_told else self._meta


@cython.final
cdef class Memory:
    cdef readonly double since
    cdef readonly Py_ssize_t bytes, evicted, peak, peak_bytes
    cdef readonly Py_ssize_t _max_bytes, _max_count
    cdef readonly dict _entries
    cdef double _seconds
    cdef object _order

    def __init__(self, double started, double seconds, Py_ssize_t max_bytes, Py_ssize_t max_count):
        self.since = started
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._entries = {}
        self._order = deque()

    def __len__(self):
        return len(self._entries)

    def __contains__(self, key):
        return key in self._entries

    def get(self, key):
        return self._entries.get(key)

    cpdef void put(self, tuple key, Remembered entry) except *:
        cdef Remembered known = self._entries.get(key)
        cdef Py_ssize_t count, size
        if known is None:
            self._order.append(key)
        else:
            self.bytes -= len(known.body) + REMEMBERED_BYTES
        self._entries[key] = entry
        count, size = len(self._entries), self.bytes + len(entry.body) + REMEMBERED_BYTES
        self.bytes = size
        if size > self._max_bytes or count > self._max_count:
            self._make_room()
            return
        if count > self.peak:
            self.peak = count
        if size > self.peak_bytes:
            self.peak_bytes = size

    def expire(self, double now):
        cdef Remembered oldest
        while self._order:
            oldest = self._entries[self._order[0]]
            if oldest.finished + self._seconds > now:
                return
            self._drop_oldest()

    def may_have_forgotten(self, double first_sent):
        return first_sent < self.since

    cdef void _make_room(self) except *:
        while self.bytes > self._max_bytes or len(self._entries) > self._max_count:
            self._drop_oldest()
        if self.bytes > self.peak_bytes:
            self.peak_bytes = self.bytes

    cdef void _drop_oldest(self) except *:
        cdef Remembered entry = self._entries.pop(self._order.popleft())
        self.bytes -= len(entry.body) + REMEMBERED_BYTES
        if entry.arrived > self.since:
            self.since = entry.arrived
        self.evicted += 1
