cdef class Alarm:
    cdef int _fd

    def __cinit__(self):
        self._fd = -1

    def __init__(self):
        # Once: another thread may sleep on it.
        if self._fd < 0:
            self._fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC)
        if self._fd < 0:
            raise OSError(errno, "no timer can be had")

    def __dealloc__(self):
        if self._fd >= 0:
            close(self._fd)

    def set(self, double seconds):
        self._set(seconds)

    cdef int _set(self, double seconds) except -1:
        cdef itimerspec spec
        cdef double ticks = 0.0
        if seconds != NEVER:
            ticks = rint(seconds * 1e9)
            # What is no whole number is none in C, either.
            if not -9e18 < ticks < 9e18:
                ticks = min(9e18, <double>int(<object>ticks))
            ticks = max(1.0, ticks)
        spec.it_interval.tv_sec = 0
        spec.it_interval.tv_nsec = 0
        spec.it_value.tv_sec = <long long>ticks // 1_000_000_000
        spec.it_value.tv_nsec = <long long>ticks % 1_000_000_000
        timerfd_settime(self._fd, 0, &spec, NULL)
        return 0

    def wait(self):
        self._wait()

    cdef int _wait(self) except -1:
        cdef int fd = self._fd
        cdef long long rings
        cdef Py_ssize_t found
        while True:
            with nogil:
                found = read(fd, &rings, sizeof(rings))
            if found >= 0:
                return 0
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
            PyErr_CheckSignals()
