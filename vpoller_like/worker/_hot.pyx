# cython: language_level=3, wraparound=False, nonecheck=True
# cython: auto_pickle=False, always_allow_keywords=True
"""What each task goes through in a worker, in C.

Each class here does what the class of the same name does that is written in Python, to the letter;
read that one for the what and the why. See ``compiled.py``. The parts in ``hot`` are named as the
Python files are; here is what they share.
"""

cimport cython
from cpython.ref cimport Py_DECREF, Py_INCREF
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from libc.errno cimport EINTR, errno
from libc.math cimport rint
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from posix.unistd cimport close, read

from collections import deque
import logging
import threading

from vpoller_like.clock import monotonic
from vpoller_like.errors import ProtocolError, TaskFailed
from vpoller_like.protocol.encoding import DECODE_FAULTS, encoding_of
from vpoller_like.protocol.limits import MAX_PACK as _MAX_PACK
from vpoller_like.protocol.limits import MAX_REPLY as _MAX_REPLY
from vpoller_like.protocol.worker import (
    COMMANDS,
    Ack,
    Alive,
    Assignment,
    Attempt,
    Held,
    Refused,
    Result,
    Results,
    Shutdown,
    Tasks,
    Welcome,
    decode_from_broker,
    frame_reader,
    write,
)
from vpoller_like.transport.message import DONE as _DONE
from vpoller_like.transport.poll import Poll
from vpoller_like.worker import figures

cdef extern from "sys/timerfd.h":
    struct itimerspec:
        timespec it_interval
        timespec it_value
    int TFD_CLOEXEC
    int timerfd_create(int clock, int flags)
    int timerfd_settime(int fd, int flags, const itimerspec *new, itimerspec *old)

cdef extern from "Python.h":
    void PyObject_GC_UnTrack(void *thing)
    ctypedef void *PyThread_type_lock
    ctypedef enum PyLockStatus:
        PY_LOCK_ACQUIRED
    PyThread_type_lock PyThread_allocate_lock()
    void PyThread_free_lock(PyThread_type_lock)
    PyLockStatus PyThread_acquire_lock_timed(
        PyThread_type_lock, long long microseconds, int intr_flag
    ) nogil
    void PyThread_release_lock(PyThread_type_lock)

#: See compiled.py, which takes no other one.
INTERFACE = 1

cdef object _log = logging.getLogger("vpoller.worker")
cdef object _monotonic = monotonic
cdef object _encoding_of = encoding_of
cdef object _Ack = Ack
cdef object _Alive = Alive
cdef object _Assignment = Assignment
cdef object _Attempt = Attempt
cdef object _Held = Held
cdef object _Result = Result
cdef object _Results = Results
cdef object _Tasks = Tasks
cdef object _ProtocolError = ProtocolError
cdef object _decode = decode_from_broker
cdef object _write = write
cdef dict _COMMANDS = COMMANDS
cdef object _read_tasks = frame_reader(Tasks)
cdef object _read_ack = frame_reader(Ack)
cdef tuple FAULTS = DECODE_FAULTS
cdef unsigned char TASKS = Tasks.COMMAND
cdef unsigned char ACK = Ack.COMMAND
cdef object DONE = _DONE
cdef frozenset REMARKABLE = frozenset([Welcome, Shutdown, Refused])
cdef frozenset REMEMBERED = figures.REMEMBERED
cdef str TASK_FAILED = TaskFailed.code
cdef Py_ssize_t MAX_PACK = _MAX_PACK
cdef object MAX_REPLY = _MAX_REPLY
cdef Py_ssize_t LARGE = figures.LARGE
cdef double SLOW_SECONDS = figures.SLOW_SECONDS
cdef double FLUSH_SECONDS = figures.FLUSH_SECONDS
cdef double NEVER = float("inf")
cdef double AHEAD_SECONDS = figures.AHEAD_SECONDS
cdef long MAX_AHEAD = figures.MAX_AHEAD
cdef double MEMORY_SECONDS = figures.MEMORY_SECONDS
cdef double BRIEF_SECONDS = figures.BRIEF_SECONDS
cdef double SHORTEST = figures.SHORTEST
cdef Py_ssize_t REMEMBERED_BYTES = figures.REMEMBERED_BYTES
cdef double GRANT_PAUSE = figures.GRANT_PAUSE
cdef double LIVENESS = figures.LIVENESS
cdef double LEASE = figures.LEASE
cdef double RARE = figures.RARE
cdef double SPELL = figures.SPELL
cdef double WAKE_SECONDS = figures.WAKE_SECONDS

# Of the worker's own modules, which import this one: there when the first thing is made that needs
# them.
cdef object _Received, _Progress, _Started, _Submit, _Send, _Unsent, _Recall
cdef object _Departure, _told, _within
cdef bint _is_bound = False


cdef int _bind() except -1:
    global _Received, _Progress, _Started, _Submit, _Send, _Unsent, _Recall
    global _Departure, _told, _within, _is_bound
    if _is_bound:
        return 0
    from vpoller_like.worker import departure, events, executor, size

    _Received, _Progress, _Started = events.Received, events.Progress, events.Started
    _Submit, _Send, _Unsent, _Recall = events.Submit, events.Send, events.Unsent, events.Recall
    _Departure, _told, _within = departure.Departure, executor._told, size.within
    _is_bound = True
    return 0

include "hot/runs.pxi"
include "hot/pace.pxi"
include "hot/grant.pxi"
include "hot/outbox.pxi"
include "hot/memory.pxi"
include "hot/debts.pxi"
include "hot/executor.pxi"
include "hot/alarm.pxi"
include "hot/baton.pxi"
include "hot/leader.pxi"
include "hot/standing.pxi"
include "hot/flow.pxi"
include "hot/turn.pxi"
