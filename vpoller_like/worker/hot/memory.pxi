@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Entry:
    # None once it is not remembered any more.
    cdef Run run
    cdef double until


@cython.final
cdef class Memory:
    cdef readonly long long bytes
    cdef double _seconds
    cdef readonly object _max_bytes, _max_count
    cdef readonly dict _entries
    # The entries, oldest first, and some that are not remembered any more.
    cdef object _order

    def __init__(self, double seconds, max_bytes, max_count):
        self.bytes = 0
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._entries = {}
        self._order = deque()

    def __len__(self):
        return len(self._entries)

    def limit(self, max_bytes, max_count):
        self._max_bytes = max_bytes
        self._max_count = max_count

    cpdef list keep(self, Run run, double now):
        cdef Entry entry = Entry.__new__(Entry)
        cdef list evicted = []
        run.shed()
        self._drop(run.key)
        entry.run = run
        entry.until = now + self._seconds
        self._entries[run.key] = entry
        self._order.append(entry)
        self.bytes += cost_of(run)
        while self.bytes > self._max_bytes or len(self._entries) > self._max_count:
            evicted.append(self._drop_oldest())
        return evicted

    def expire(self, double now):
        expired = []
        while self._entries and self._oldest().until <= now:
            expired.append(self._drop_oldest())
        return expired

    def take_out(self, Run run not None):
        self._drop(run.key)

    cdef int _drop(self, long long key) except -1:
        cdef Entry entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= cost_of(entry.run)
            entry.run = None
        return 0

    cdef Entry _oldest(self):
        cdef Entry entry = self._order[0]
        while entry.run is None:
            self._order.popleft()
            entry = self._order[0]
        return entry

    cdef Run _drop_oldest(self):
        cdef Run run = self._oldest().run
        self._order.popleft()
        self._drop(run.key)
        return run


cdef Py_ssize_t cost_of(Run run):
    return REMEMBERED_BYTES + (0 if run.outcome is None else len(run.outcome.body))
