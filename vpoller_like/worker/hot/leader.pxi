cdef class Leader:
    cdef readonly object _loop, _wake, _clock
    cdef readonly Executor _executor
    cdef readonly Baton _baton
    cdef double _woken
    cdef bint _has_worked

    def __init__(self, loop, Executor executor not None, wake, clock):
        self._loop = loop
        self._executor = executor
        self._wake = wake
        self._clock = clock
        self._baton = Baton(clock)
        self._woken = 0.0
        self._has_worked = False

    def _lead(self):
        # Held while they are used, as below: something may take their places meanwhile.
        loop = self._loop
        cdef Executor executor = self._executor
        while loop.settle():
            loop.listen()
            if executor._is_ready() and not self._work():
                return True
        return False

    cpdef bint _work(self) except -1:
        cdef Executor executor = self._executor
        cdef Baton baton = self._baton
        cdef Run run
        if not self._has_worked:
            self._has_worked = True
            self._hire_if_needed()
        place = executor.take_place()
        if place is None:
            return True
        run = executor.next()
        if run is not None:
            if run.brief:
                baton._lay_down()
            else:
                baton._offer()
            self._run_from(executor, baton, place, run)
        executor.leave_place(place)
        if run is None or baton._take_up():
            return True
        self._wake()
        return False

    cdef int _run_from(self, Executor executor, Baton baton, Py_ssize_t place, Run run) except -1:
        cdef double ended, until = time_of(self._clock) + SPELL
        while run is not None:
            ended = executor.run(place, run)
            if baton._is_locked:
                self._wake_at(ended)
            elif ended >= until:
                return 0
            run = executor.next()
            if run is not None and not run.brief and baton._take_up():
                baton._offer()
        return 0

    cdef int _wake_at(self, double now) except -1:
        if now - self._woken >= WAKE_SECONDS:
            self._woken = now
            self._wake()
        return 0

    # Who derives from it ---------------------------------------------------------------

    def _hire_if_needed(self):
        raise NotImplementedError
