@cython.final
@cython.no_gc
cdef class Average:
    cdef double seconds, seen
    cdef bint is_recent


@cython.final
cdef class Pace:
    cdef dict _averages
    # Those that may count still.
    cdef list _recent

    def __init__(self):
        self._averages = {}
        self._recent = []

    cpdef note(self, str method, double seconds, double now):
        cdef Average average
        if seconds < SHORTEST:
            seconds = SHORTEST
        found = self._averages.get(method)
        if found is None:
            average = self._averages[method] = Average.__new__(Average)
            average.seconds = seconds
        else:
            average = <Average>found
            average.seconds += (seconds - average.seconds) / 8
        average.seen = now
        if not average.is_recent:
            average.is_recent = True
            self._recent.append(average)

    cpdef bint is_brief(self, str method):
        average = self._averages.get(method)
        return average is not None and (<Average>average).seconds <= BRIEF_SECONDS

    cdef double _slowest(self, double now):
        # Zero where there is none.
        cdef double horizon = now - MEMORY_SECONDS, longest = 0.0
        cdef Py_ssize_t old = 0
        cdef Average average
        for average in self._recent:
            if average.seen < horizon:
                average.is_recent = False
                old += 1
            elif average.seconds > longest:
                longest = average.seconds
        if old:
            self._recent = [average for average in self._recent if average.is_recent]
        return longest

    def slowest(self, double now):
        return self._slowest(now) or None
