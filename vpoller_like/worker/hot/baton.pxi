@cython.final
cdef class Baton:
    cdef object _clock, _alarm, _post
    cdef PyThread_type_lock _lock
    # Changed with the GIL alone, as all else here.
    cdef bint _is_locked
    cdef bint _lies, _is_rare, _ended
    cdef double _due, _rings_at

    def __cinit__(self):
        self._is_locked = False
        self._lock = PyThread_allocate_lock()
        if self._lock == NULL:
            raise MemoryError

    def __init__(self, clock=_monotonic, alarm=None):
        self._clock = clock
        self._alarm = alarm or Alarm()
        self._post = threading.Lock()
        self._lies = False
        self._due = 0.0
        self._rings_at = 0.0
        self._is_rare = False
        self._ended = False
        self._acquire(0)
        self._offer()

    def __dealloc__(self):
        if self._lock == NULL:
            return
        if self._is_locked:
            PyThread_release_lock(self._lock)
        PyThread_free_lock(self._lock)

    def is_taken(self):
        return self._is_locked

    def lay_down(self):
        self._lay_down()

    cdef int _lay_down(self) except -1:
        cdef double now = time_of(self._clock)
        self._is_rare = now - self._due > RARE - LEASE
        self._due = now + LEASE
        self._lies = True
        if self._rings_at <= self._due:
            self._rings_at = now + RARE
            self._ring_in(RARE)
        return self._release()

    def offer(self):
        self._offer()

    cdef int _offer(self) except -1:
        self._due = time_of(self._clock)
        self._lies = True
        self._rings_at = 0.0
        self._ring_in(0.0)
        return self._release()

    def take_up(self):
        return self._take_up()

    cdef bint _take_up(self) except -1:
        if not self._acquire(0):
            return False
        self._lies = False
        if self._is_rare:
            self._rings_at = 0.0
            self._ring_in(NEVER)
        return True

    def stand_in(self):
        with self._post:
            while not self._ended:
                alarm = self._alarm
                if type(alarm) is Alarm:
                    (<Alarm>alarm)._wait()
                else:
                    alarm.wait()
                self._rings_at = 0.0
                if self._take_over():
                    return True
            return False

    cdef bint _take_over(self) except -1:
        while self._lies:
            if time_of(self._clock) < self._due:
                self._ring_in(LEASE)
                return False
            if self._acquire(<long long>(LEASE * 1e6)):
                self._lies = False
                return True
        return False

    def end(self):
        self._ended = True
        self._ring_in(0.0)

    cdef int _ring_in(self, double seconds) except -1:
        alarm = self._alarm
        if type(alarm) is Alarm:
            return (<Alarm>alarm)._set(seconds)
        alarm.set(seconds)
        return 0

    # The lock, as threading has it, and as full a fence.

    cdef bint _acquire(self, long long microseconds) except -1:
        cdef PyLockStatus status = PyThread_acquire_lock_timed(self._lock, 0, 0)
        if status != PY_LOCK_ACQUIRED and microseconds:
            with nogil:
                status = PyThread_acquire_lock_timed(self._lock, microseconds, 0)
        if status != PY_LOCK_ACQUIRED:
            return False
        self._is_locked = True
        return True

    cdef int _release(self) except -1:
        if not self._is_locked:
            raise RuntimeError("release unlocked lock")
        self._is_locked = False
        PyThread_release_lock(self._lock)
        return 0
