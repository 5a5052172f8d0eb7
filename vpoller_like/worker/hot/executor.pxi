cdef double time_of(clock) except? -1:
    cdef timespec now
    if clock is not _monotonic:
        return clock()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return <double>(now.tv_sec * 1_000_000_000LL + now.tv_nsec) / 1e9


cdef long long _microseconds(double seconds) except? -1:
    cdef double found = seconds * 1e6
    # What C has no number for it would turn into any; Python says that there is none.
    return <long long>found if -9e18 < found < 9e18 else int(<object>found)


@cython.final
cdef class Executor:
    cdef object _host, _max_reply, _clock, _waiting
    # What is done to these lists is atomic: no Python runs in it.
    cdef list _finished, _free, _current, _reported

    def __init__(self, host, Py_ssize_t places, max_reply, clock=_monotonic):
        _bind()
        self._host = host
        self._max_reply = max_reply
        self._clock = clock
        self._waiting = deque()
        self._finished = []
        self._free = list(range(places))
        self._current = [None] * places
        self._reported = [None] * places

    def submit(self, runs):
        self._waiting.extend(runs)

    def take_back(self, keys):
        cdef Run run
        wanted = set(keys)
        return [
            run.key for run in list(self._waiting) if run.key in wanted and self._drop(run)
        ]

    cdef bint _drop(self, Run run) except -1:
        try:
            self._waiting.remove(run)
        except ValueError:
            return False
        return True

    def progress(self):
        cdef list started = self._take_started(), finished = self._take_finished()
        return _Progress(started, finished) if started or finished else None

    cdef list _take_finished(self):
        cdef list finished = self._finished
        if len(finished):
            self._finished = []
            return finished
        return []

    cdef list _take_started(self):
        cdef Py_ssize_t index
        cdef list started = []
        for index in range(len(self._current)):
            current = self._current[index]
            if current is not None and current is not self._reported[index]:
                self._reported[index] = current
                key, began = current
                started.append(_Started(key, began))
        return started

    @property
    def is_ready(self):
        return self._is_ready()

    cdef bint _is_ready(self) except *:
        return bool(self._waiting) and len(self._free) != 0

    @property
    def occupied(self):
        return len(self._current) - len(self._free)

    cpdef take_place(self):
        return self._free.pop() if len(self._free) else None

    cpdef leave_place(self, place):
        self._free.append(place)

    cpdef Run next(self):
        if not self._waiting:
            return None
        try:
            return self._waiting.popleft()
        except IndexError:
            return None

    cpdef double run(self, Py_ssize_t place, Run run) except? -1:
        cdef Finished finished = Finished.__new__(Finished)
        cdef double began, ended
        body = run.item.body
        finished.key = run.key
        began = time_of(self._clock)
        self._current[place] = (run.key, began)
        try:
            outcome = self._host.execute(body, self._max_reply)
            finished.code, finished.body = outcome.code, outcome.body
        except BaseException as error:
            _log.exception("task raised")
            finished.code, finished.body = TASK_FAILED, _told(error, body)
        ended = time_of(self._clock)
        self._current[place] = None
        finished.ran_us = _microseconds(ended - began)
        self._finished.append(finished)
        return ended
