@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Remembered:
    cdef readonly bytes fingerprint, body
    cdef readonly object encoding, meta
    cdef readonly double arrived, finished

    def __init__(
        self, bytes fingerprint, bytes body, encoding, meta, double arrived, double finished
    ):
        self.fingerprint = fingerprint
        self.body = body
        self.encoding = encoding
        self.meta = meta
        self.arrived = arrived
        self.finished = finished


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
