@cython.final
@cython.no_gc
@cython.freelist(32)
cdef class Grant:
    cdef readonly long long slots, ahead

    def __init__(self, long long slots, long long ahead):
        self.slots = slots
        self.ahead = ahead

    def __eq__(self, other):
        if type(other) is not Grant:
            return NotImplemented
        return self.slots == (<Grant>other).slots and self.ahead == (<Grant>other).ahead

    def __hash__(self):
        return hash((self.slots, self.ahead))

    def __repr__(self):
        return f"Grant(slots={self.slots!r}, ahead={self.ahead!r})"


cdef Grant new_grant(long long slots, long long ahead):
    cdef Grant grant = Grant.__new__(Grant)
    grant.slots = slots
    grant.ahead = ahead
    return grant


cdef Grant NOTHING = new_grant(0, 0)


cdef bint _is_news(Grant told, Grant current) except -1:
    return told.slots != current.slots or (told.ahead != 0) != (current.ahead != 0)


def is_news(Grant told not None, Grant current not None):
    return _is_news(told, current)


cdef Grant _grant_to(long link, long threads, Runs runs, Pace pace, double now):
    cdef Run run
    cdef bint is_slow = False
    cdef long slots = threads - <long>len(runs.stuck)
    cdef double longest
    if runs.running:
        for run in runs.running.values():
            if run.slow:
                is_slow = True
                if run.debt_to(link) is None:
                    slots -= 1
    longest = pace._slowest(now)
    if is_slow or longest == 0.0 or slots <= 0:
        return new_grant(max(0, slots), 0)
    return new_grant(slots, min(MAX_AHEAD, slots * <long>(AHEAD_SECONDS / longest)))


def grant_to(long link, long threads, Runs runs not None, Pace pace not None, double now):
    return _grant_to(link, threads, runs, pace, now)
