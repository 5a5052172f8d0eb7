# cython: language_level=3, wraparound=False, nonecheck=True
# cython: auto_pickle=False, always_allow_keywords=True
"""What each request goes through, in C.

Each class here does what the class of the same name does that is written in Python, to the letter;
read that one for the what and the why. See ``compiled.py``. The parts in ``hot`` are named as the
Python files are, but for those that read and write texts (``plain``, ``answers``, ``tasks``,
``told``); here is what they share. What is different is how it is kept: times and counts are C's
numbers, a line of waiting tasks, or of workers, is a chain that goes through the tasks, or the
workers, themselves, and a remembered reply is a record in C's memory.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from cpython.mem cimport PyMem_Calloc, PyMem_Free, PyMem_Malloc, PyMem_Realloc
from cpython.ref cimport Py_DECREF, Py_INCREF
from libc.string cimport memchr, memcmp, memcpy, memset

cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)
    void *PyUnicode_DATA(object text)
    str PyUnicode_DecodeASCII(const char *text, Py_ssize_t size, const char *errors)
    void PyObject_GC_UnTrack(void *thing)
    const char *PyUnicode_AsUTF8AndSize(object text, Py_ssize_t *size) except NULL

import heapq
import msgspec
from collections import OrderedDict, deque

from vpoller_like.broker.figures import (
    GRAIN as _GRAIN,
    LARGE as _LARGE,
    MANY as _MANY,
    PATIENCE as _PATIENCE,
    REMEMBERED as _REMEMBERED,
    REMEMBERED_BYTES as _REMEMBERED_BYTES,
    SLACK as _SLACK,
    SPELL as _SPELL,
    TURN as _TURN,
    WAITING_BYTES as _WAITING_BYTES,
)
from vpoller_like.broker.state import State
from vpoller_like.errors import RequestError, ShuttingDown, TaskFailed
from vpoller_like.protocol.batch import JSON_HEADS, SHALLOW as _SHALLOW, is_whole
from vpoller_like.protocol.encoding import DECODE_FAULTS, JSON, encoding_of
from vpoller_like.protocol.limits import (
    MAX_ENVELOPE_BYTES,
    MAX_HOSTNAME as _MAX_HOSTNAME,
    MAX_ID as _MAX_ID,
    MAX_METHOD as _MAX_METHOD,
    MAX_MILLISECONDS as _MAX_MILLISECONDS,
    MAX_PACK as _MAX_PACK,
    MAX_TRACEPARENT as _MAX_TRACEPARENT,
)
from vpoller_like.protocol.reply import ReplyMeta, failure, is_envelope, with_meta
from vpoller_like.protocol.request import DEFAULT_PRIORITY as _DEFAULT_PRIORITY, Head, new_json_mark
from vpoller_like.protocol.worker import (
    COMMANDS,
    Heartbeat,
    Hello,
    Results,
    Tasks,
    encode as _encode,
    frame_reader,
)
from vpoller_like.transport.message import DONE as _SENT

#: See compiled.py, which takes no other one.
INTERFACE = 1

cdef object QUEUED = State.QUEUED
cdef object RUNNING = State.RUNNING
cdef object DONE = State.DONE
cdef object _JSON = JSON
cdef object _ReplyMeta = ReplyMeta
cdef object _encoding_of = encoding_of
cdef object _is_envelope = is_envelope
cdef object _is_whole = is_whole
cdef object _with_meta = with_meta
cdef object _failure = failure
cdef object _RequestError = RequestError
cdef object _new_mark = new_json_mark
cdef object _json_head = msgspec.json.Decoder(Head).decode
cdef object _json_heads = msgspec.json.Decoder(list[Head]).decode
cdef object _json_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
cdef object _json_whole = msgspec.json.Decoder(msgspec.Raw).decode
cdef list _JSON_HEADS = JSON_HEADS
cdef Py_ssize_t SHALLOW = _SHALLOW
# Beside a routing id, which has 255 bytes at most.
cdef Py_ssize_t MAX_FRAME = MAX_ENVELOPE_BYTES - 255
cdef long DEFAULT_PRIORITY = _DEFAULT_PRIORITY
cdef Py_ssize_t MAX_METHOD = _MAX_METHOD
cdef Py_ssize_t MAX_HOSTNAME = _MAX_HOSTNAME
cdef Py_ssize_t MAX_ID = _MAX_ID
cdef Py_ssize_t MAX_TRACEPARENT = _MAX_TRACEPARENT
cdef double MAX_MILLISECONDS = _MAX_MILLISECONDS
cdef frozenset REMEMBERED = _REMEMBERED
cdef Py_ssize_t WAITING_BYTES = _WAITING_BYTES
cdef Py_ssize_t REMEMBERED_BYTES = _REMEMBERED_BYTES
cdef double GRAIN = _GRAIN
cdef double SPELL = _SPELL
cdef Py_ssize_t SLACK = _SLACK
cdef Py_ssize_t LARGE = _LARGE
cdef long long MANY = _MANY
cdef double PATIENCE = _PATIENCE
cdef Py_ssize_t TURN = _TURN
cdef Py_ssize_t MAX_PACK = _MAX_PACK
cdef object _Heartbeat = Heartbeat
cdef object _Hello = Hello
cdef object _Results = Results
cdef object SENT = _SENT
cdef bytes RESULTS_BYTE = COMMANDS[Results]
cdef bytes TASKS_BYTE = COMMANDS[Tasks]
cdef object _read_results = frame_reader(Results)
cdef object _read_tasks = frame_reader(Tasks)

include "hot/plain.pxi"
include "hot/answers.pxi"
include "hot/tasks.pxi"
include "hot/events.pxi"
include "hot/counters.pxi"
include "hot/quota.pxi"
include "hot/task.pxi"
include "hot/fair_queue.pxi"
include "hot/timetable.pxi"
include "hot/worker.pxi"
include "hot/routing.pxi"
include "hot/told.pxi"
include "hot/memory.pxi"
include "hot/flow.pxi"
include "hot/entrance.pxi"
include "hot/intake.pxi"
include "hot/packs.pxi"
include "hot/acks.pxi"
include "hot/reception.pxi"
include "hot/machine.pxi"
include "hot/turn.pxi"
