@cython.final
cdef class Memory:
    """The runs in a chain, oldest first; it holds a reference to each of them."""

    cdef readonly long long bytes
    cdef double _seconds
    cdef readonly object _max_bytes, _max_count
    cdef Py_ssize_t _count
    cdef void *_first
    cdef void *_last

    def __init__(self, double seconds, max_bytes, max_count):
        self.bytes = 0
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._max_count = max_count

    def __dealloc__(self):
        while self._first != NULL:
            self._unlink(<Run>self._first)

    def __len__(self):
        return self._count

    @property
    def _entries(self):
        cdef void *at = self._first
        found = {}
        while at != NULL:
            found[(<Run>at).key] = <Run>at
            at = (<Run>at).newer
        return found

    def limit(self, max_bytes, max_count):
        self._max_bytes = max_bytes
        self._max_count = max_count

    cpdef list keep(self, Run run, double now):
        cdef list evicted = []
        run.shed()
        self._drop(run)
        run.until = now + self._seconds
        self._link(run)
        self.bytes += cost_of(run)
        while self.bytes > self._max_bytes or self._count > self._max_count:
            evicted.append(self._drop_oldest())
        return evicted

    def expire(self, double now):
        expired = []
        while self._first != NULL and (<Run>self._first).until <= now:
            expired.append(self._drop_oldest())
        return expired

    def take_out(self, Run run not None):
        self._drop(run)

    cdef int _drop(self, Run run) except -1:
        if run.memory == <void *>self:
            self.bytes -= cost_of(run)
            self._unlink(run)
        return 0

    cdef Run _drop_oldest(self):
        cdef Run run
        if self._first == NULL:
            raise KeyError("there is nothing in this memory")
        run = <Run>self._first
        self._drop(run)
        return run

    cdef int _link(self, Run run) except -1:
        if run.memory != NULL:
            raise ValueError(f"run {run.key} is remembered elsewhere")
        run.memory = <void *>self
        run.newer = NULL
        run.older = self._last
        if self._last != NULL:
            (<Run>self._last).newer = <void *>run
        else:
            self._first = <void *>run
        self._last = <void *>run
        self._count += 1
        Py_INCREF(run)
        return 0

    cdef void _unlink(self, Run run) noexcept:
        if run.older != NULL:
            (<Run>run.older).newer = run.newer
        else:
            self._first = run.newer
        if run.newer != NULL:
            (<Run>run.newer).older = run.older
        else:
            self._last = run.older
        run.memory = run.older = run.newer = NULL
        self._count -= 1
        Py_DECREF(run)


cdef Py_ssize_t cost_of(Run run) except -1:
    return REMEMBERED_BYTES + (0 if run.outcome is None else len(run.outcome.body))
