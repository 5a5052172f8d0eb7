# cython: language_level=3, wraparound=False, nonecheck=True
# cython: auto_pickle=False, always_allow_keywords=True
"""What each wait for messages and each send goes through, in C.

Each class here does what the class of the same name does that is written in Python, to the letter;
read that one for the what and the why. See ``compiled.py``.
"""

from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.errno cimport EINTR, errno
from libc.math cimport ceil
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec

cimport cython

import zmq
import zmq.backend

from vpoller_like.protocol.limits import MAX_ENVELOPE_FRAMES
from vpoller_like.transport import burst
from vpoller_like.transport.message import FULL as _FULL

cdef extern from "poll.h" nogil:
    ctypedef unsigned long nfds_t
    struct pollfd:
        int fd
        short events
        short revents
    int poll(pollfd *, nfds_t, int)
    short POLLIN

#: See compiled.py, which takes no other one.
INTERFACE = 1

cdef Py_ssize_t MAX_BURST = 256
cdef object MAX_FRAMES = 1 + MAX_ENVELOPE_FRAMES + 2
cdef object FULL = _FULL
# Seconds.
cdef double LONGEST = 86_400.0


@cython.final
cdef class Port:
    cdef readonly object socket
    cdef object _burst_socket
    cdef Py_ssize_t _first_burst
    cdef public Py_ssize_t _burst
    cdef public Py_ssize_t max_burst
    cdef public bint settled, asks_users
    cdef public object max_frames

    def __init__(self, socket):
        self.socket = socket
        base = zmq.backend.Socket(socket.context, -1, socket.underlying)
        routed = socket.getsockopt(zmq.TYPE) == zmq.ROUTER
        self._burst_socket = burst.open_socket(base, routed)
        self._first_burst = MAX_BURST if burst.KIND == "c" else 1
        self._burst = self._first_burst
        self.max_burst = MAX_BURST
        self.settled = False
        self.max_frames = MAX_FRAMES
        self.asks_users = False

    def receive(self, bint ready):
        cdef list messages
        if not ready:
            self._burst = max(self._first_burst, self._burst // 2)
            return []
        self.settled = False
        found = self._burst_socket.receive(
            min(self._burst, self.max_burst), self.max_frames, self.asks_users
        )
        messages, has_more = found
        self.settled = not has_more
        self._burst = min(self._burst * 2, self.max_burst)
        return messages

    cpdef bint pending(self) except *:
        cdef bint pending = self._burst_socket.pending()
        self.settled = not pending
        return pending

    def send(self, frames):
        self.settled = False
        return self._burst_socket.send(frames)

    def send_all(self, messages):
        self.settled = False
        return self._burst_socket.send_all(messages)

    def close(self, linger_ms=0):
        self._burst_socket.close()
        self.socket.close(linger_ms)


cdef class Outlet:
    cdef readonly object _port
    cdef readonly dict _waiting
    cdef public double due

    def __init__(self, port):
        self._port = port
        self._waiting = {}
        self.due = float("inf")

    def send(self, frames):
        if frames[0] not in self._waiting:
            sent = self._port.send(frames)
            if sent is not FULL:
                return sent
        return self.keep(frames)

    def send_all(self, messages):
        cdef list outcomes
        cdef Py_ssize_t index
        if not self._waiting:
            outcomes = self._port.send_all(messages)
        else:
            # What follows something that waits, waits.
            free = [frames for frames in messages if frames[0] not in self._waiting]
            tried = iter(self._port.send_all(free))
            outcomes = [FULL if frames[0] in self._waiting else next(tried) for frames in messages]
        for index in range(len(outcomes)):
            if outcomes[index] is FULL:
                outcomes[index] = self.keep(messages[index])
        return outcomes


@cython.final
cdef class Poll:
    cdef pollfd *_fds
    cdef int _count
    # By the descriptors' places.
    cdef list _sources
    cdef list _ports
    cdef Port _left_out
    cdef set _unread
    cdef bint _is_waiting

    def __cinit__(self):
        self._fds = NULL
        self._count = 0

    def __init__(self):
        self._sources = []
        self._ports = []
        self._left_out = None
        self._unread = set()

    def __dealloc__(self):
        PyMem_Free(self._fds)

    def watch(self, source):
        self._require_alone()
        if isinstance(source, Port):
            self._ports.append(source)
            source = (<Port>source).socket
        elif not isinstance(source, int):
            self._unread.add(source)
        descriptor = source if isinstance(source, int) else source.getsockopt(zmq.FD)
        self._register(descriptor, source)

    cdef int _register(self, int descriptor, source) except -1:
        cdef pollfd *fds
        fds = <pollfd *>PyMem_Realloc(self._fds, (self._count + 1) * sizeof(pollfd))
        if fds == NULL:
            raise MemoryError
        self._fds = fds
        self._sources.append(source)
        fds[self._count].fd = descriptor
        fds[self._count].events = POLLIN
        fds[self._count].revents = 0
        self._count += 1
        return 0

    def wait(self, double timeout, Port without=None):
        cdef set ready = set()
        cdef Port port
        cdef int index, found
        cdef double milliseconds
        self._require_alone()
        if without is not self._left_out:
            self._leave_out(without)
        for port in self._ports:
            if not port.settled and port is not without and port.pending():
                ready.add(port.socket)
        if self._unread:
            ready |= self._unread
            self._unread.clear()
        milliseconds = 0.0 if ready else max(0.0, ceil(min(timeout, LONGEST) * 1000))
        found = self._poll(<int>milliseconds)
        for index in range(self._count if found else 0):
            if self._fds[index].revents:
                ready.add(self._sources[index])
        return ready

    cdef int _require_alone(self) except -1:
        # What is waited with may not move meanwhile.
        if self._is_waiting:
            raise RuntimeError("another thread waits with it")
        return 0

    cdef int _poll(self, int milliseconds) except -1:
        cdef double until = _now() + milliseconds if milliseconds else 0.0
        cdef int found
        while True:
            self._is_waiting = True
            with nogil:
                found = poll(self._fds, self._count, milliseconds)
            self._is_waiting = False
            if found >= 0:
                return found
            if errno != EINTR:
                PyErr_SetFromErrno(OSError)
            PyErr_CheckSignals()
            if milliseconds:
                milliseconds = max(0, <int>ceil(until - _now()))

    cdef int _leave_out(self, Port port) except -1:
        # A negative descriptor is passed over.
        if self._left_out is not None:
            self._turn(self._left_out)
        self._left_out = None
        if port is not None:
            self._turn(port)
        self._left_out = port
        return 0

    cdef int _turn(self, Port port) except -1:
        cdef int index
        for index in range(self._count):
            if self._sources[index] is port.socket:
                self._fds[index].fd = ~self._fds[index].fd
                self._fds[index].revents = 0
                return 0
        raise KeyError(port)


cdef double _now():
    """Return monotonic milliseconds."""
    cdef timespec now
    clock_gettime(CLOCK_MONOTONIC, &now)
    return now.tv_sec * 1e3 + now.tv_nsec / 1e6
