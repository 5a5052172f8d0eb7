@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Entry:
    cdef Run run
    cdef double until


@cython.final
cdef class Memory:
    cdef readonly long long bytes
    cdef double _seconds
    cdef readonly object _max_bytes, _max_count, _entries

    def __init__(self, double seconds, max_bytes, max_count):
        self.bytes = 0
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._entries = OrderedDict()

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
        self.bytes += cost_of(run)
        while self.bytes > self._max_bytes or len(self._entries) > self._max_count:
            evicted.append(self._drop_oldest())
        return evicted

    def expire(self, double now):
        expired = []
        while self._entries and (<Entry?>next(iter(self._entries.values()))).until <= now:
            expired.append(self._drop_oldest())
        return expired

    def take_out(self, Run run not None):
        self._drop(run.key)

    cdef int _drop(self, key) except -1:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= cost_of((<Entry?>entry).run)
        return 0

    cdef Run _drop_oldest(self):
        _, entry = self._entries.popitem(last=False)
        cdef Run run = (<Entry?>entry).run
        self.bytes -= cost_of(run)
        return run


cdef Py_ssize_t cost_of(Run run):
    return REMEMBERED_BYTES + (0 if run.outcome is None else len(run.outcome.body))
