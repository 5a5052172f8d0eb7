# cython: language_level=3, wraparound=False, nonecheck=True
# cython: auto_pickle=False, always_allow_keywords=True
"""What each request goes through, in C.

Each class here does what the class of the same name does that is written in Python, to the letter;
read that one for the what and the why. See ``compiled.py``. What is different is how it is kept:
times and counts are C's numbers, and a line of waiting tasks, or of workers, is a chain that
goes through the tasks, or the workers, themselves.
"""

cimport cython
from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.ref cimport Py_DECREF, Py_INCREF

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
from vpoller_like.protocol.limits import MAX_ENVELOPE_BYTES, MAX_PACK as _MAX_PACK
from vpoller_like.protocol.reply import ReplyMeta, failure, is_envelope, with_meta
from vpoller_like.protocol.request import DEFAULT_PRIORITY as _DEFAULT_PRIORITY, Head, new_json_mark
from vpoller_like.protocol.worker import (
    COMMANDS,
    Assignment,
    Heartbeat,
    Hello,
    Results,
    Tasks,
    encode as _encode,
    frame_reader,
    write,
)
from vpoller_like.transport.message import DONE as _SENT

#: See compiled.py, which takes no other one.
INTERFACE = 1

cdef object QUEUED = State.QUEUED
cdef object RUNNING = State.RUNNING
cdef object DONE = State.DONE
cdef object _JSON = JSON
cdef object _Assignment = Assignment
cdef object _ReplyMeta = ReplyMeta
cdef object _encoding_of = encoding_of
cdef object _is_envelope = is_envelope
cdef object _is_whole = is_whole
cdef object _with_meta = with_meta
cdef object _failure = failure
cdef object _RequestError = RequestError
cdef object _json_value = msgspec.json.Decoder().decode
cdef object _json_sorted = msgspec.json.Encoder(order="sorted").encode
cdef tuple _SPOILED = (*DECODE_FAULTS, KeyError)
cdef object _new_mark = new_json_mark
cdef object _write_json = msgspec.json.Encoder().encode
cdef object _json_head = msgspec.json.Decoder(Head).decode
cdef object _json_heads = msgspec.json.Decoder(list[Head]).decode
cdef object _json_elements = msgspec.json.Decoder(list[msgspec.Raw]).decode
cdef object _json_whole = msgspec.json.Decoder(msgspec.Raw).decode
cdef list _JSON_HEADS = JSON_HEADS
cdef Py_ssize_t SHALLOW = _SHALLOW
# Beside a routing id, which has 255 bytes at most.
cdef Py_ssize_t MAX_FRAME = MAX_ENVELOPE_BYTES - 255
cdef long DEFAULT_PRIORITY = _DEFAULT_PRIORITY
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
cdef object _Tasks = Tasks
cdef object SENT = _SENT
cdef bytes RESULTS_BYTE = COMMANDS[Results]
cdef bytes TASKS_BYTE = COMMANDS[Tasks]
cdef object _read_results = frame_reader(Results)
cdef object _write = write


# Events and actions -------------------------------------------------------------------------


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Request:
    cdef readonly tuple envelope
    cdef readonly bytes body
    cdef readonly object head
    cdef readonly str principal
    cdef readonly object index

    def __init__(self, tuple envelope, bytes body, head, str principal="", index=None):
        self.envelope = envelope
        self.body = body
        self.head = head
        self.principal = principal
        self.index = index

    @property
    def share(self):
        return self.principal or self.envelope[0]

    def without_body(self):
        return Request(self.envelope, b"", self.head, self.principal, self.index)

    cdef tuple _fields(self):
        return (self.envelope, self.body, self.head, self.principal, self.index)

    def __eq__(self, other):
        if type(other) is not Request:
            return NotImplemented
        return self._fields() == (<Request>other)._fields()

    def __hash__(self):
        return hash(self._fields())

    def __repr__(self):
        return (
            f"Request(envelope={self.envelope!r}, body={self.body!r}, head={self.head!r}, "
            f"principal={self.principal!r}, index={self.index!r})"
        )


@cython.final
@cython.no_gc
@cython.freelist(64)
cdef class WorkerSays:
    cdef readonly bytes peer
    cdef readonly object message
    cdef readonly str key

    def __init__(self, bytes peer, message, str key=""):
        self.peer = peer
        self.message = message
        self.key = key

    cdef tuple _fields(self):
        return (self.peer, self.message, self.key)

    def __eq__(self, other):
        if type(other) is not WorkerSays:
            return NotImplemented
        return self._fields() == (<WorkerSays>other)._fields()

    def __hash__(self):
        return hash(self._fields())

    def __repr__(self):
        return f"WorkerSays(peer={self.peer!r}, message={self.message!r}, key={self.key!r})"


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Reply:
    cdef readonly tuple envelope
    cdef readonly bytes body
    cdef readonly object index

    def __init__(self, tuple envelope, bytes body, index=None):
        self.envelope = envelope
        self.body = body
        self.index = index

    cdef tuple _fields(self):
        return (self.envelope, self.body, self.index)

    def __eq__(self, other):
        if type(other) is not Reply:
            return NotImplemented
        return self._fields() == (<Reply>other)._fields()

    def __hash__(self):
        return hash(self._fields())

    def __repr__(self):
        return f"Reply(envelope={self.envelope!r}, body={self.body!r}, index={self.index!r})"


cdef Reply new_reply(tuple envelope, bytes body, index):
    cdef Reply reply = Reply.__new__(Reply)
    reply.envelope = envelope
    reply.body = body
    reply.index = index
    return reply


@cython.final
@cython.no_gc
cdef class Give:
    cdef readonly bytes peer
    cdef readonly object session
    cdef readonly list items

    def __init__(self, bytes peer, session, list items):
        self.peer = peer
        self.session = session
        self.items = items

    cdef tuple _fields(self):
        return (self.peer, self.session, self.items)

    def __eq__(self, other):
        if type(other) is not Give:
            return NotImplemented
        return self._fields() == (<Give>other)._fields()

    def __repr__(self):
        return f"Give(peer={self.peer!r}, session={self.session!r}, items={self.items!r})"


# What is counted ----------------------------------------------------------------------------


@cython.final
cdef class Counters:
    cdef public long long bad_requests, busy, expired, garbled, internal_errors, joined
    cdef public long long late_results, lost_workers, plain, recalled, redelivered
    cdef public long long refused_handshakes, replies, requests, resyncs, returned
    cdef public long long unauthorized, undeliverable, whohas_found, whohas_missing, worker_lost

    def as_dict(self):
        return {name: getattr(self, name) for name in NAMES}


cdef list NAMES = sorted(name for name in dir(Counters) if name[0] != "_" and name != "as_dict")


@cython.final
cdef class Account:
    """What one share has under way: requests that are not answered, and bytes that wait."""

    cdef object share
    cdef Py_ssize_t requests, bytes


@cython.final
cdef class Quota:
    cdef readonly Py_ssize_t max_requests, max_bytes
    cdef readonly Py_ssize_t bytes, peak, peak_bytes
    cdef dict _accounts

    def __init__(self, Py_ssize_t max_requests, Py_ssize_t max_bytes):
        self.max_requests = max_requests
        self.max_bytes = max_bytes
        self._accounts = {}

    def __bool__(self):
        return bool(self._accounts)

    @property
    def most(self):
        return max(self._requests.values(), default=0)

    @property
    def _requests(self):
        cdef Account one
        return {one.share: one.requests for one in self._accounts.values() if one.requests}

    @property
    def _bytes(self):
        cdef Account one
        return {one.share: one.bytes for one in self._accounts.values() if one.bytes}

    cdef Account of(self, share):
        cdef Account found = self._accounts.get(share)
        if found is None:
            found = Account.__new__(Account)
            found.share = share
            self._accounts[share] = found
        return found

    cdef void settle(self, Account account) except *:
        if not account.requests and not account.bytes:
            del self._accounts[account.share]

    cpdef bint take(self, share) except -1:
        cdef Account account = self.of(share)
        if account.requests >= self.max_requests:
            self.settle(account)
            return False
        account.requests += 1
        if account.requests > self.peak:
            self.peak = account.requests
        return True

    cpdef void give_back(self, share) except *:
        cdef Account account = self._accounts[share]
        if not account.requests:
            raise KeyError(share)
        account.requests -= 1
        self.settle(account)

    cpdef bint has_room(self, share, Py_ssize_t size) except -1:
        cdef Py_ssize_t free = self.max_bytes - self.bytes
        cdef Py_ssize_t mine = 0
        cdef Account account
        if not self.bytes:
            return True
        account = self._accounts.get(share)
        if account is not None:
            mine = account.bytes
        return size <= free and (not mine or mine + size <= free)

    cpdef void hold(self, share, Py_ssize_t size) except *:
        cdef Account account = self.of(share)
        self.bytes += size
        if self.bytes > self.peak_bytes:
            self.peak_bytes = self.bytes
        account.bytes += size

    cpdef void release(self, share, Py_ssize_t size) except *:
        cdef Account account
        self.bytes -= size
        account = self._accounts[share]
        if not account.bytes:
            raise KeyError(share)
        account.bytes -= size
        self.settle(account)


# Tasks --------------------------------------------------------------------------------------


@cython.final
@cython.no_gc
@cython.freelist(1024)
cdef class Task:
    cdef public object number
    cdef public Route route
    cdef public bytes body
    cdef public object share
    cdef public object encoding
    cdef public double arrived, deadline, given_at
    cdef public long priority, attempt, losses
    cdef public tuple key
    cdef public bytes fingerprint
    cdef public list waiters
    cdef public object state
    cdef public Worker worker
    # Those before and behind it in its line, and the line.
    cdef void *ahead
    cdef void *behind
    cdef void *line
    # The same in its bucket of the timetable.
    cdef void *sooner
    cdef void *later
    cdef void *bucket

    def __init__(
        self,
        number,
        Route route,
        bytes body,
        share,
        encoding,
        double arrived,
        double deadline,
        long priority,
        tuple key=None,
        bytes fingerprint=None,
        list waiters=None,
        state=QUEUED,
        Worker worker=None,
        double given_at=0.0,
    ):
        self.number = number
        self.route = route
        self.body = body
        self.share = share
        self.encoding = encoding
        self.arrived = arrived
        self.deadline = deadline
        self.priority = priority
        self.key = key
        self.fingerprint = fingerprint
        self.waiters = [] if waiters is None else waiters
        self.state = state
        self.worker = worker
        self.given_at = given_at

    @property
    def slot(self):
        return 0 if self.bucket == NULL else (<Bucket>self.bucket).slot

    @property
    def fate(self):
        return "a worker that was lost may have run it" if self.losses else "it has not run"


@cython.final
cdef class Line:
    """The tasks of one share, in a chain; it holds a reference to each of them."""

    cdef object share
    cdef void *first
    cdef void *last
    # Those whose turns are before and after.
    cdef Line before, after

    cdef void append(self, Task task) noexcept:
        task.line = <void *>self
        task.behind = NULL
        task.ahead = self.last
        if self.last != NULL:
            (<Task>self.last).behind = <void *>task
        else:
            self.first = <void *>task
        self.last = <void *>task
        Py_INCREF(task)

    cdef void prepend(self, Task task) noexcept:
        task.line = <void *>self
        task.ahead = NULL
        task.behind = self.first
        if self.first != NULL:
            (<Task>self.first).ahead = <void *>task
        else:
            self.last = <void *>task
        self.first = <void *>task
        Py_INCREF(task)

    cdef void remove(self, Task task) noexcept:
        if task.ahead != NULL:
            (<Task>task.ahead).behind = task.behind
        else:
            self.first = task.behind
        if task.behind != NULL:
            (<Task>task.behind).ahead = task.ahead
        else:
            self.last = task.ahead
        task.ahead = task.behind = task.line = NULL
        Py_DECREF(task)

    def __dealloc__(self):
        while self.first != NULL:
            self.remove(<Task>self.first)


@cython.final
cdef class Level:
    """The lines of one priority, in the order of their turns."""

    cdef dict lines
    cdef Line first, last

    def __cinit__(self):
        self.lines = {}

    cdef Line line(self, share):
        cdef Line found = self.last
        # Mostly it is that of the one before.
        if found is not None and found.share is share:
            return found
        found = self.lines.get(share)
        if found is None:
            found = Line.__new__(Line)
            found.share = share
            self.lines[share] = found
            self.put_last(found)
        return found

    cdef void put_last(self, Line line) except *:
        line.before, line.after = self.last, None
        if self.last is None:
            self.first = line
        else:
            self.last.after = line
        self.last = line

    cdef void put_first(self, Line line) except *:
        line.before, line.after = None, self.first
        if self.first is None:
            self.last = line
        else:
            self.first.before = line
        self.first = line

    cdef void take_out(self, Line line) except *:
        if line.before is None:
            self.first = line.after
        else:
            line.before.after = line.after
        if line.after is None:
            self.last = line.before
        else:
            line.after.before = line.before
        line.before = line.after = None

    cdef void remove(self, Line line) except *:
        self.take_out(line)
        del self.lines[line.share]


cdef void require_free(Task task) except *:
    """Raise where ``task`` waits already: in two chains at once it would tear both."""
    if task.line != NULL:
        raise ValueError(f"task {task.number} waits already")


@cython.final
cdef class FairQueue:
    # By priority.
    cdef dict _levels
    # The highest one, if there is any.
    cdef Level _top
    cdef readonly Py_ssize_t size

    def __init__(self):
        self._levels = {}

    def __len__(self):
        return self.size

    def __iter__(self):
        cdef Level level
        cdef Line line
        cdef void *at
        tasks = []
        for level in self._levels.values():
            line = level.first
            while line is not None:
                at = line.first
                while at != NULL:
                    tasks.append(<Task>at)
                    at = (<Task>at).behind
                line = line.after
        return iter(tasks)

    cdef Level _level(self, long priority):
        cdef Level found = self._levels.get(priority)
        if found is None:
            found = self._levels[priority] = Level.__new__(Level)
            self._find_top()
        return found

    cdef void _find_top(self) except *:
        self._top = self._levels[max(self._levels)] if self._levels else None

    cpdef void push(self, Task task) except *:
        require_free(task)
        self._level(task.priority).line(task.share).append(task)
        self.size += 1

    cpdef void push_front(self, Task task) except *:
        require_free(task)
        cdef Level level = self._level(task.priority)
        # Of no share: it is nobody's turn.
        cdef Line line = level.line(None)
        line.prepend(task)
        level.take_out(line)
        level.put_first(line)
        self.size += 1

    cpdef Task pop(self, double now):
        cdef Level level = self._top
        if not self.size:
            raise KeyError("the queue is empty")
        cdef Line line = level.first
        cdef Task task = <Task>line.first
        line.remove(task)
        self.size -= 1
        if line.first == NULL:
            self._close_line(level, line, task.priority)
        elif line.after is not None and line.share is not None and task.deadline >= now:
            level.take_out(line)
            level.put_last(line)
        return task

    cpdef void remove(self, Task task) except *:
        if task.line == NULL:
            raise KeyError(task.number)
        cdef Line line = <Line>task.line
        cdef Level level = self._levels[task.priority]
        if level.lines.get(line.share) is not line:
            raise KeyError(task.number)
        line.remove(task)
        self.size -= 1
        if line.first == NULL:
            self._close_line(level, line, task.priority)

    cdef void _close_line(self, Level level, Line line, long priority) except *:
        level.remove(line)
        if level.first is None:
            del self._levels[priority]
            self._find_top()


@cython.final
cdef class Bucket:
    """What is due in one slot: tasks in a chain, with a reference to each, and other things."""

    cdef readonly long long slot
    cdef void *first
    cdef void *last
    cdef dict others

    def __cinit__(self):
        self.others = {}

    cdef void add(self, Task task) noexcept:
        task.bucket = <void *>self
        task.later = NULL
        task.sooner = self.last
        if self.last != NULL:
            (<Task>self.last).later = <void *>task
        else:
            self.first = <void *>task
        self.last = <void *>task
        Py_INCREF(task)

    cdef void remove(self, Task task) noexcept:
        if task.sooner != NULL:
            (<Task>task.sooner).later = task.later
        else:
            self.first = task.later
        if task.later != NULL:
            (<Task>task.later).sooner = task.sooner
        else:
            self.last = task.sooner
        task.sooner = task.later = task.bucket = NULL
        Py_DECREF(task)

    cdef list things(self):
        cdef void *at = self.first
        found = list(self.others.values())
        while at != NULL:
            found.append(<Task>at)
            at = (<Task>at).later
        return found

    def __dealloc__(self):
        while self.first != NULL:
            self.remove(<Task>self.first)


@cython.final
cdef class Timetable:
    cdef readonly dict _buckets
    cdef readonly list _order
    # The one that was used last: of many that are set now, most are due together.
    cdef Bucket _last

    def __init__(self):
        self._buckets = {}
        self._order = []

    def __iter__(self):
        cdef Bucket bucket
        for bucket in list(self._buckets.values()):
            yield from bucket.things()

    cdef Bucket _bucket(self, long long slot):
        cdef Bucket found = self._last
        if found is not None and found.slot == slot:
            return found
        found = self._buckets.get(slot)
        if found is None:
            found = Bucket.__new__(Bucket)
            found.slot = slot
            self._buckets[slot] = found
            heapq.heappush(self._order, slot)
        self._last = found
        return found

    cpdef void set(self, thing, double due) except *:
        cdef Bucket bucket
        cdef double grains = due / GRAIN
        cdef long long slot
        if -1e18 < grains < 1e18:
            slot = <long long>grains + 1
        else:
            # It raises, as what is no number at all does.
            slot = int(grains) + 1
        self.cancel(thing)
        bucket = self._bucket(slot)
        if type(thing) is Task:
            bucket.add(<Task>thing)
        else:
            bucket.others[thing.number] = thing
            thing.slot = bucket.slot

    cpdef void cancel(self, thing) except *:
        cdef Bucket bucket
        if type(thing) is Task:
            self.cancel_task(<Task>thing)
        elif thing.slot:
            bucket = self._buckets[thing.slot]
            thing.slot = 0
            del bucket.others[thing.number]
            self._tidy(bucket)

    cdef void cancel_task(self, Task task) except *:
        cdef Bucket bucket
        if task.bucket != NULL:
            bucket = <Bucket>task.bucket
            bucket.remove(task)
            if bucket.first == NULL:
                self._tidy(bucket)

    cdef void _tidy(self, Bucket bucket) except *:
        if bucket.first != NULL or bucket.others:
            return
        del self._buckets[bucket.slot]
        if self._last is bucket:
            self._last = None
        if len(self._order) > 2 * len(self._buckets) + SLACK:
            self._order = list(self._buckets)
            heapq.heapify(self._order)

    def pop_due(self, double now):
        cdef Bucket bucket
        cdef Task task
        while self._order and self._order[0] * GRAIN <= now:
            slot = self._order[0]
            bucket = self._buckets.get(slot)
            if bucket is None:
                heapq.heappop(self._order)
                continue
            while bucket.first != NULL:
                task = <Task>bucket.first
                self.cancel_task(task)
                yield task
            for thing in list(bucket.others.values()):
                # It may have been taken out meanwhile.
                if thing.slot == slot:
                    self.cancel(thing)
                    yield thing


# Workers ------------------------------------------------------------------------------------


@cython.final
cdef class Worker:
    cdef readonly object instance
    cdef public str key, label
    cdef readonly dict tasks
    cdef public long long done, returned
    cdef public long slots, ahead, placed_slots
    cdef public bytes peer
    cdef public object pid, session
    cdef public Pool pool
    cdef public bint draining, stale
    cdef public list giving
    cdef public long long ack, acked
    cdef public double ack_due, last_heard
    # Where it is among those of its pool that have room: the ones before and behind it.
    cdef void *ring
    cdef void *before
    cdef void *after

    def __init__(self, bytes peer, hello, Pool pool, double now):
        self.instance = hello.instance
        self.key = ""
        self.tasks = {}
        self.greet(peer, hello, pool, now)

    def __dealloc__(self):
        leave_ring(self)

    def greet(self, bytes peer, hello, Pool pool, double now):
        self.peer = peer
        self.label = hello.label
        self.pid = hello.pid
        self.session = hello.session
        self.slots = hello.slots
        self.ahead = hello.ahead
        self.pool = pool
        self.draining = False
        self.giving = None
        self.stale = False
        self.ack = self.acked = 0
        self.ack_due = 0.0
        self.last_heard = now

    @property
    def free_slots(self):
        return 0 if self.draining else self.slots - len(self.tasks)

    @property
    def room(self):
        return 0 if self.draining else self.slots + self.ahead - len(self.tasks)


@cython.final
cdef class Ring:
    """Workers in the order of their turns, in a chain. It holds none: who goes leaves it."""

    cdef void *first
    cdef void *last

    cdef void add(self, Worker worker) noexcept:
        if worker.ring == <void *>self:
            return
        leave_ring(worker)
        worker.ring = <void *>self
        worker.after = NULL
        worker.before = self.last
        if self.last != NULL:
            (<Worker>self.last).after = <void *>worker
        else:
            self.first = <void *>worker
        self.last = <void *>worker

    cdef Worker turn(self):
        cdef Worker worker = <Worker>self.first
        if self.first != self.last:
            leave_ring(worker)
            self.add(worker)
        return worker

    cdef dict names(self):
        cdef void *at = self.first
        found = {}
        while at != NULL:
            found[(<Worker>at).instance] = <Worker>at
            at = (<Worker>at).after
        return found

    def __dealloc__(self):
        while self.first != NULL:
            leave_ring(<Worker>self.first)


cdef void leave_ring(Worker worker) noexcept:
    cdef Ring ring
    if worker.ring == NULL:
        return
    ring = <Ring>worker.ring
    if worker.before != NULL:
        (<Worker>worker.before).after = worker.after
    else:
        ring.first = worker.after
    if worker.after != NULL:
        (<Worker>worker.after).before = worker.before
    else:
        ring.last = worker.before
    worker.before = worker.after = worker.ring = NULL


@cython.final
cdef class Pool:
    cdef readonly object signature, offers
    cdef readonly dict methods, workers
    cdef readonly long slots
    cdef readonly object quick, careful
    cdef Ring free, spare
    cdef Worker _last
    cdef set _retry_safe
    cdef dict _hosts
    cdef bint _careful_next

    def __init__(self, signature, offers):
        self.signature = signature
        self.offers = offers
        self.methods = {}
        self.workers = {}
        self.free = Ring.__new__(Ring)
        self.spare = Ring.__new__(Ring)
        self.quick = OrderedDict()
        self.careful = OrderedDict()
        self._hosts = {}
        for offer in offers:
            for method in offer.methods:
                self._add(method, offer.hosts)
        self._retry_safe = {
            name for name, method in self.methods.items() if method.retry_safe
        }

    def _add(self, method, hosts):
        known = self._hosts.get(method.name, set())
        self._hosts[method.name] = None if hosts is None or known is None else known | {*hosts}
        known_method = self.methods.get(method.name, method)
        self.methods[method.name] = method if known_method.retry_safe else known_method

    def serves(self, method, hostname):
        if method not in self.methods:
            return False
        hosts = self._hosts[method]
        return hostname is None or hosts is None or hostname in hosts

    def hosts(self, method):
        return self._hosts.get(method, set())

    @property
    def _free(self):
        return self.free.names()

    @property
    def _spare(self):
        return self.spare.names()

    cpdef void place(self, Worker worker) except *:
        cdef Py_ssize_t free
        if worker.slots != worker.placed_slots:
            self.slots += worker.slots - worker.placed_slots
            worker.placed_slots = worker.slots
        free = worker.slots - len(worker.tasks)
        if worker.draining:
            self._take_out(worker)
        elif free > 0:
            self.free.add(worker)
        elif free + worker.ahead > 0:
            self.spare.add(worker)
        else:
            self._take_out(worker)

    cdef void _take_out(self, Worker worker) noexcept:
        if worker.ring == <void *>self.free or worker.ring == <void *>self.spare:
            leave_ring(worker)

    cpdef Worker find(self, method, double pace):
        cdef Worker last = self._last
        if last is not None and last.giving is not None and pace:
            if len(last.giving) * pace < SPELL and has_room(last) and method in self._retry_safe:
                return last
        if self.free.first != NULL:
            self._last = self.free.turn()
        elif self.spare.first != NULL and method in self._retry_safe:
            self._last = self.spare.turn()
        else:
            return None
        return self._last

    cpdef void wait(self, Route route) except *:
        if route.method in self._retry_safe:
            self.quick[route] = None
        else:
            self.careful[route] = None

    cpdef void forget(self, Route route) except *:
        self.quick.pop(route, None)
        self.careful.pop(route, None)

    cpdef Route next_waiting(self):
        cdef bint is_free = self.free.first != NULL
        if is_free and self.careful and (self._careful_next or not self.quick):
            self._careful_next = False
            return turn(self.careful)
        if self.quick and (is_free or self.spare.first != NULL):
            self._careful_next = True
            return turn(self.quick)
        return None

    def remove(self, Worker worker):
        del self.workers[worker.instance]
        self.slots -= worker.placed_slots
        worker.placed_slots = 0
        self._take_out(worker)
        if self._last is worker:
            self._last = None


cdef bint has_room(Worker worker) noexcept:
    return not worker.draining and worker.slots + worker.ahead > len(worker.tasks)


cdef Route turn(routes):
    cdef Route route = next(iter(routes))
    if len(routes) > 1:
        routes.move_to_end(route)
    return route


@cython.final
cdef class Route:
    cdef readonly str method
    cdef readonly object hostname
    cdef readonly FairQueue queue
    cdef readonly list pools
    cdef public double last_used, pace
    cdef public Py_ssize_t live
    cdef list _ready

    def __init__(self, str method, hostname, double now):
        self.method = method
        self.hostname = hostname
        self.queue = FairQueue()
        self.pools = []
        self.last_used = now
        self._ready = []

    def link(self, Pool pool):
        self.pools.append(pool)
        self._ready.append(pool)

    def unlink(self, Pool pool):
        self.pools.remove(pool)
        pool.forget(self)
        if pool in self._ready:
            self._ready.remove(pool)

    cpdef void ready_again(self, Pool pool) except *:
        pool.forget(self)
        self._ready.append(pool)

    cpdef Worker find(self):
        cdef Pool pool
        cdef Worker worker
        while self._ready:
            pool = self._ready[0]
            worker = pool.find(self.method, self.pace)
            if worker is not None:
                if len(self._ready) > 1:
                    self._ready.append(self._ready.pop(0))
                return worker
            self._ready.pop(0)
            pool.wait(self)
        return None

    @property
    def retry_safe(self):
        return bool(self.pools) and all(self.method in (<Pool>pool)._retry_safe for pool in self.pools)


# Replies that are remembered ----------------------------------------------------------------


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Remembered:
    cdef readonly bytes fingerprint, body
    cdef readonly object encoding, meta
    cdef readonly double arrived, finished

    def __init__(
        self, bytes fingerprint, bytes body, encoding, meta, double arrived, double finished
    ):
        self.fingerprint = fingerprint
        self.body = body
        self.encoding = encoding
        self.meta = meta
        self.arrived = arrived
        self.finished = finished


@cython.final
cdef class Memory:
    cdef readonly double since
    cdef readonly Py_ssize_t bytes, evicted, peak, peak_bytes
    cdef readonly Py_ssize_t _max_bytes, _max_count
    cdef readonly dict _entries
    cdef double _seconds
    cdef object _order

    def __init__(self, double started, double seconds, Py_ssize_t max_bytes, Py_ssize_t max_count):
        self.since = started
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._entries = {}
        self._order = deque()

    def __len__(self):
        return len(self._entries)

    def __contains__(self, key):
        return key in self._entries

    def get(self, key):
        return self._entries.get(key)

    cpdef void put(self, tuple key, Remembered entry) except *:
        cdef Remembered known = self._entries.get(key)
        cdef Py_ssize_t count, size
        if known is None:
            self._order.append(key)
        else:
            self.bytes -= len(known.body) + REMEMBERED_BYTES
        self._entries[key] = entry
        count, size = len(self._entries), self.bytes + len(entry.body) + REMEMBERED_BYTES
        self.bytes = size
        if size > self._max_bytes or count > self._max_count:
            self._make_room()
            return
        if count > self.peak:
            self.peak = count
        if size > self.peak_bytes:
            self.peak_bytes = size

    def expire(self, double now):
        cdef Remembered oldest
        while self._order:
            oldest = self._entries[self._order[0]]
            if oldest.finished + self._seconds > now:
                return
            self._drop_oldest()

    def may_have_forgotten(self, double first_sent):
        return first_sent < self.since

    cdef void _make_room(self) except *:
        while self.bytes > self._max_bytes or len(self._entries) > self._max_count:
            self._drop_oldest()
        if self.bytes > self.peak_bytes:
            self.peak_bytes = self.bytes

    cdef void _drop_oldest(self) except *:
        cdef Remembered entry = self._entries.pop(self._order.popleft())
        self.bytes -= len(entry.body) + REMEMBERED_BYTES
        if entry.arrived > self.since:
            self.since = entry.arrived
        self.evicted += 1


# The way of a task --------------------------------------------------------------------------


cdef class Flow:
    cdef readonly Py_ssize_t _max_reply, _queue_length
    cdef readonly Quota quota
    cdef readonly Memory _memory
    cdef readonly Counters _counters
    cdef readonly list _out, giving
    cdef readonly dict live, by_key
    cdef readonly Timetable timetable
    cdef readonly Py_ssize_t queued, queued_bytes, longest_queue

    def __init__(self, settings, Memory memory, Counters counters, list out):
        self._max_reply = settings.max_reply
        self._queue_length = settings.queue_length
        self.quota = Quota(settings.max_in_flight, settings.queue_bytes)
        self._memory = memory
        self._counters = counters
        self._out = out
        self.giving = []
        self.live = {}
        self.by_key = {}
        self.timetable = Timetable()

    # Accepting

    cdef void c_open(self, Task task) except *:
        if task.waiters and not self.quota.take(task.share):
            raise self.over_quota(task.route)
        self.live[task.number] = task
        task.route.live += 1
        if task.key is not None:
            self.by_key[task.key] = task

    cdef void c_submit(self, Task task, double now) except *:
        cdef Route route = task.route
        cdef Worker worker = None
        if not route.queue.size:
            worker = route.find()
        if worker is None:
            self.c_require_room(route, task.share, size_of(task))
        self.c_open(task)
        if worker is None:
            self.c_enqueue(task)
        else:
            self.c_give(worker, task, now)

    cdef void c_require_room(self, Route route, share, Py_ssize_t size) except *:
        if route.queue.size >= self._queue_length:
            raise self.queue_is_full(route)
        if not self.quota.has_room(share, size + WAITING_BYTES):
            raise self.no_bytes_left(route)

    # Queueing

    cdef void c_enqueue(self, Task task, bint front=False) except *:
        cdef FairQueue queue = task.route.queue
        cdef Py_ssize_t size = size_of(task)
        task.state = QUEUED
        task.worker = None
        if front:
            queue.push_front(task)
        else:
            queue.push(task)
        self.queued += 1
        self.queued_bytes += size
        self.quota.hold(task.share, WAITING_BYTES + size)
        if queue.size > self.longest_queue:
            self.longest_queue = queue.size
        self.timetable.set(task, task.deadline)

    cdef void c_left_queue(self, Task task) except *:
        cdef Py_ssize_t size = size_of(task)
        self.queued -= 1
        self.queued_bytes -= size
        self.quota.release(task.share, WAITING_BYTES + size)
        self.timetable.cancel_task(task)

    # Giving

    cdef void c_serve(self, Pool pool, double now) except *:
        cdef Route route
        cdef Worker worker
        cdef bint alone
        while True:
            route = pool.next_waiting()
            if route is None:
                return
            if not route.queue.size:
                route.ready_again(pool)
                continue
            worker = pool.find(route.method, route.pace)
            assert worker is not None, "a route is named only where there is room for it"
            self._give_next(worker, route, now)
            alone = len(pool.quick) + len(pool.careful) == 1
            while alone and route.queue.size:
                worker = pool.find(route.method, route.pace)
                if worker is None:
                    break
                self._give_next(worker, route, now)

    cdef void c_serve_route(self, Route route, double now) except *:
        cdef Worker worker
        while route.queue.size:
            worker = route.find()
            if worker is None:
                return
            self._give_next(worker, route, now)

    cdef void _give_next(self, Worker worker, Route route, double now) except *:
        cdef Task task = route.queue.pop(now)
        self.c_left_queue(task)
        if task.deadline < now:
            self.too_late(task, now)
        else:
            self.c_give(worker, task, now)

    cdef void c_give(self, Worker worker, Task task, double now) except *:
        cdef Route route = task.route
        cdef Py_ssize_t free
        task.state = RUNNING
        task.worker = worker
        task.attempt += 1
        task.given_at = now
        worker.tasks[task.number] = task
        free = worker.slots - len(worker.tasks)
        if not free or not free + worker.ahead:
            worker.pool.place(worker)
        if task.key is None:
            principal, name = "", None
        else:
            principal, name = task.key
        assignment = _Assignment(
            task.number,
            task.attempt,
            route.method,
            route.hostname,
            principal,
            name,
            task.fingerprint,
            b"" if task.body is None else task.body,
        )
        if worker.giving is None:
            worker.giving = [assignment]
            self.giving.append(worker)
            self._out.append(Give(worker.peer, worker.session, worker.giving))
        else:
            worker.giving.append(assignment)

    cdef void c_end_round(self) except *:
        cdef Worker worker
        for worker in self.giving:
            worker.giving = None
        self.giving.clear()

    # Ending

    cdef int c_results(self, Worker worker, list items, double now) except -1:
        cdef Task task
        for item in items:
            task = worker.tasks.get(item.task)
            if task is None or task.attempt != item.attempt:
                self._counters.late_results += 1
                continue
            worker.done += 1
            self.c_result(task, item, now)
        return 0

    cdef void c_result(self, Task task, item, double now) except *:
        cdef bytes body = item.body
        cdef Py_ssize_t size = len(body)
        cdef double ran_us = item.ran_us
        cdef Route route = task.route
        cdef const unsigned char *text = body
        route.pace += (ran_us / 1e6 - route.pace) / 8
        if task.body is None:
            task.encoding = _encoding_of(body)
        if size > self._max_reply and self.is_too_large(task, body, now):
            return
        if (
            task.encoding is _JSON and size and text[0] == b"{" and text[size - 1] == b"}"
        ) or _is_envelope(body, task.encoding):
            self.c_finish(task, item.code, body, now, ran_us / 1000)
        else:
            self.without_envelope(task, item, now)

    cdef void c_finish(self, Task task, str code, bytes body, double now, ran_ms=None) except *:
        cdef Request waiter
        meta = None
        if task.key is not None and code in REMEMBERED:
            meta = meta_of(task, ran_ms)
            self.c_remember(task, body, meta, now)
        for waiter in task.waiters:
            asked = waiter.head.meta
            if asked is None and waiter.index is None:
                self._counters.replies += 1
                self._out.append(new_reply(waiter.envelope, body, None))
                continue
            if meta is None and asked is not None:
                meta = meta_of(task, ran_ms)
            self.c_reply(waiter, body, meta, task.encoding)
        self.c_close(task)

    cdef void c_remember(self, Task task, bytes body, meta, double now) except *:
        cdef Remembered entry = Remembered.__new__(Remembered)
        entry.fingerprint = task.fingerprint or b""
        entry.body = body
        entry.encoding = task.encoding
        entry.meta = meta
        entry.arrived = task.arrived
        entry.finished = now
        self._memory.put(task.key, entry)

    cdef void c_reply(self, Request waiter, bytes body, meta, encoding) except *:
        if waiter.index is not None and not whole(body, encoding):
            message = f"a worker answered with something that is no {encoding.value} object"
            body = _failure(TaskFailed(message), encoding)
        if meta is not None and waiter.head.meta is not None:
            body = with_json_meta(body, meta) if encoding is _JSON else _with_meta(body, meta, encoding)
        self._counters.replies += 1
        self._out.append(new_reply(waiter.envelope, body, waiter.index))

    cdef void c_close(self, Task task) except *:
        cdef Request waiter
        cdef Worker worker = task.worker
        number = task.number
        task.state = DONE
        task.route.live -= 1
        del self.live[number]
        if task.key is not None:
            del self.by_key[task.key]
        self.timetable.cancel_task(task)
        if worker is not None:
            worker.tasks.pop(number, None)
            task.worker = None
        for waiter in task.waiters:
            self.quota.give_back(waiter.principal or waiter.envelope[0])
        task.waiters = []
        task.body = None

    # For Python

    def open(self, Task task):
        self.c_open(task)

    def submit(self, Task task, double now):
        self.c_submit(task, now)

    def require_room(self, Route route, share, Py_ssize_t size):
        self.c_require_room(route, share, size)

    def enqueue(self, Task task, bint front=False):
        self.c_enqueue(task, front)

    def left_queue(self, Task task):
        self.c_left_queue(task)

    def serve(self, Pool pool, double now):
        self.c_serve(pool, now)

    def serve_route(self, Route route, double now):
        self.c_serve_route(route, now)

    def give(self, Worker worker, Task task, double now):
        self.c_give(worker, task, now)

    def end_round(self):
        self.c_end_round()

    def results(self, Worker worker, list items, double now):
        self.c_results(worker, items, now)

    def result(self, Task task, item, double now):
        self.c_result(task, item, now)

    def finish(self, Task task, str code, bytes body, double now, ran_ms=None):
        self.c_finish(task, code, body, now, ran_ms)

    def remember(self, Task task, bytes body, meta, double now):
        self.c_remember(task, body, meta, now)

    def reply(self, Request waiter, bytes body, meta, encoding):
        self.c_reply(waiter, body, meta, encoding)

    def close(self, Task task):
        self.c_close(task)


cdef bint whole(bytes body, encoding) except -1:
    """Do what ``is_whole`` does of a short body in ASCII and JSON; leave all others to it."""
    cdef Py_ssize_t size = len(body)
    cdef Py_ssize_t at
    cdef const unsigned char *text = body
    cdef unsigned char bits = 0
    if encoding is not _JSON or size > SHALLOW:
        return _is_whole(body, encoding)
    for at in range(size):
        bits |= text[at]
    if bits > 127:
        return _is_whole(body, encoding)
    try:
        _json_whole(body)
        return True
    except DECODE_FAULTS:
        return False


cdef bytes with_json_meta(bytes body, meta):
    """Return ``body`` with ``meta``, where no space is about its end and it is not empty."""
    cdef Py_ssize_t size = len(body)
    cdef const unsigned char *text = body
    if size < 3 or text[size - 1] != b"}" or text[size - 2] <= b" " or text[size - 2] == b"{":
        return _with_meta(body, meta, _JSON)
    return b"".join((body[: size - 1], b',"meta":', _write_json(meta), b"}"))


cdef Py_ssize_t size_of(Task task) except -1:
    return 0 if task.body is None else len(task.body)


cdef object meta_of(Task task, ran_ms):
    cdef Worker worker = task.worker
    cdef double waited
    if worker is None:
        return _ReplyMeta(None if task.key is None else task.key[1], None, task.losses, None, ran_ms)
    waited = (task.given_at - task.arrived) * 1e6 + 0.5
    return _ReplyMeta(
        None if task.key is None else task.key[1],
        worker.label,
        task.losses + 1,
        <long long>waited / 1000.0,
        ran_ms,
    )


cdef class Entrance:
    cdef readonly Flow _dispatcher
    cdef readonly Memory _memory
    cdef readonly dict _routes
    cdef readonly Counters _counters
    cdef readonly double _default_deadline
    cdef readonly object _numbers
    cdef readonly Route _plain_route
    cdef public bint draining
    cdef readonly Task begun

    def __init__(
        self,
        Flow dispatcher,
        Memory memory,
        dict routes,
        Counters counters,
        double default_deadline,
        numbers,
    ):
        self._dispatcher = dispatcher
        self._memory = memory
        self._routes = routes
        self._counters = counters
        self._default_deadline = default_deadline
        self._numbers = numbers
        self._plain_route = Route("(plain)", None, 0.0)

    def request(self, Request event, double now):
        cdef Task task
        self._counters.requests += 1
        self.begun = None
        try:
            meta = event.head.meta
            key, mark = None, None
            if meta is not None:
                name = meta.id
                if name is not None:
                    key, mark = (event.principal, name), self._mark(event.body)
                    if key in self._dispatcher.by_key or key in self._memory._entries:
                        self.repeated(event, key, mark, now)
                        return
            task = self.begun = self._task(event, meta, key, mark, now)
            if task.route is self._plain_route or (
                key is not None
                and not is_new(meta)
                and self.may_have_run(meta, now)
            ):
                self.seek(task, now)
            else:
                self._dispatcher.c_submit(task, now)
        except _RequestError as error:
            self.refuse(event, error)

    cdef bytes _mark(self, bytes body):
        """Do what ``fingerprint`` does of a request in JSON; leave all others to it."""
        if (<const unsigned char *>body)[0] == b"{":
            try:
                fields = _json_value(body)
                del fields["meta"]
                mark = _new_mark()
                mark.update(_json_sorted(fields))
                return mark.digest()
            except _SPOILED:
                pass
        return self.mark(body)

    cdef Task _task(self, Request event, meta, tuple key, bytes mark, double now):
        cdef Route route
        cdef Task task
        cdef const unsigned char *text = event.body
        if self.draining:
            raise ShuttingDown("the broker is shutting down; ask again, or ask another broker")
        head = event.head
        method, hostname = head.method, head.hostname
        route = self._routes.get((method, hostname))
        if route is None or not route.pools:
            route = self.rare_route(method, hostname or None, now)
        route.last_used = now
        number = next(self._numbers)
        while number in self._dispatcher.live:
            number = next(self._numbers)
        task = Task.__new__(Task)
        task.number = number
        task.route = route
        task.body = event.body
        task.share = event.principal or event.envelope[0]
        task.encoding = _JSON if text[0] == b"{" else _encoding_of(event.body)
        task.arrived = task.given_at = now
        if meta is None:
            task.deadline = now + self._default_deadline
            task.priority = DEFAULT_PRIORITY
        else:
            limit = meta.deadline_ms
            task.deadline = now + (self._default_deadline if limit is None else limit / 1000)
            task.priority = meta.priority
        task.key = key
        task.fingerprint = mark
        task.waiters = [event]
        task.state = QUEUED
        return task

    def deadline(self, meta, double now):
        if meta is None:
            return now + self._default_deadline
        limit = meta.deadline_ms
        return now + (self._default_deadline if limit is None else limit / 1000)


# The way in and out -------------------------------------------------------------------------


cdef bint is_new(meta) except -1:
    """Say whether it is certainly the first time that its id is sent, and here."""
    age = meta.age_ms
    return age is not None and age == 0 and not meta.moved


cdef class Inbox:
    cdef readonly Py_ssize_t _max_request, _max_frames, _max_batch
    cdef readonly object messages

    def __init__(self, Py_ssize_t max_request, Py_ssize_t max_frames, Py_ssize_t max_batch):
        self._max_request = max_request
        self._max_frames = max_frames
        self._max_batch = max_batch
        self.messages = deque()

    def take(self, bint asks_users):
        return self.c_take(asks_users)

    cdef list c_take(self, bint asks_users):
        cdef list requests = []
        messages = self.messages
        while messages and len(requests) < TURN:
            if not asks_users:
                self._take_usual(requests)
                if not messages or len(requests) >= TURN:
                    break
            requests.extend(self.unusual(messages.popleft(), asks_users))
        return requests

    cdef int _take_usual(self, list requests) except -1:
        messages = self.messages
        while messages and len(requests) < TURN:
            if not self._take_one(messages[0], requests):
                return 0
            messages.popleft()
        return 0

    cdef bint _take_one(self, message, list requests) except -1:
        """Read ``message`` if it is one request, or a batch, in JSON; say whether it is."""
        if not isinstance(message, tuple):
            raise TypeError("a message is a tuple")
        cdef list frames = (<tuple>message)[0]
        cdef Py_ssize_t count = len(frames)
        cdef bytes body, empty
        cdef tuple envelope
        if (<tuple>message)[1] or count < 3 or count > 4 or count - 2 > self._max_frames:
            return False
        empty, body = frames[count - 2], frames[count - 1]
        if len(empty) or not 0 < len(body) <= self._max_request:
            return False
        if count == 4 and not 0 < len(<bytes?>frames[1]) <= MAX_FRAME:
            return False
        envelope = (frames[0], empty) if count == 3 else (frames[0], frames[1], empty)
        if (<const unsigned char *>body)[0] == b"{":
            try:
                head = _json_head(body)
            except DECODE_FAULTS:
                return False
            requests.append(new_request(envelope, body, head, None))
            return True
        if (<const unsigned char *>body)[0] == b"[" and self._max_batch:
            return self._take_batch(envelope, body, requests)
        return False

    cdef bint _take_batch(self, tuple envelope, bytes body, list requests) except -1:
        cdef list heads, elements
        cdef Py_ssize_t index
        try:
            elements = _json_elements(body)
            # Sooner than what reads so many.
            if not 0 < len(elements) <= self._max_batch:
                return False
            heads = _json_heads(body)
        except DECODE_FAULTS:
            return False
        for index in range(len(heads)):
            part = bytes_of(elements[index])
            requests.append(new_request(envelope, part, heads[index], index))
        return True


cdef bytes bytes_of(raw):
    cdef Py_buffer view
    PyObject_GetBuffer(raw, &view, PyBUF_SIMPLE)
    try:
        return PyBytes_FromStringAndSize(<char *>view.buf, view.len)
    finally:
        PyBuffer_Release(&view)


cdef Request new_request(tuple envelope, bytes body, head, index):
    cdef Request request = Request.__new__(Request)
    request.envelope = envelope
    request.body = body
    request.head = head
    request.principal = ""
    request.index = index
    return request


def reply_messages(replies):
    return c_reply_messages(replies)


cdef list c_reply_messages(replies):
    cdef list messages = []
    cdef dict batches = {}
    cdef Reply reply
    cdef tuple envelope
    for reply in replies:
        envelope = reply.envelope
        if reply.index is not None:
            batches.setdefault(envelope, []).append((reply.index, reply.body))
        elif len(envelope) == 3:
            messages.append((envelope[0], envelope[1], envelope[2], reply.body))
        else:
            messages.append((*envelope, reply.body))
    for envelope, items in batches.items():
        pack = json_pack(items)
        if pack is not None:
            messages.append((*envelope, pack))
        else:
            from vpoller_like.broker.packs import batch_messages

            messages.extend(batch_messages({envelope: items}))
    return messages


cdef bytes json_pack(list items):
    """Return ``items`` as a pack, in JSON and not cut; None for what is not that simple."""
    cdef list parts = []
    cdef Py_ssize_t size = 0
    cdef Py_ssize_t index
    cdef bytes body = (<tuple>items[0])[1]
    if not len(body) or (<const unsigned char *>body)[0] != b"{":
        return None
    for item in items:
        index, body = <tuple>item
        size += len(body)
        if size >= MAX_PACK or index >= len(_JSON_HEADS):
            return None
        parts.append((<list>_JSON_HEADS)[index])
        parts.append(body)
    parts[0] = b"[" + (<bytes>parts[0])[2:]
    parts.append(b"]]")
    return b"".join(parts)


@cython.final
cdef class Packs:
    cdef public dict open

    def __init__(self):
        self.open = {}

    cpdef int add(self, Give give) except -1:
        cdef tuple key = (give.peer, give.session)
        items = self.open.get(key)
        self.open[key] = give.items if items is None else <list?>items + give.items
        return 0

    def withdraw(self, peer):
        from vpoller_like.broker.packs import attempts

        sessions = [key for key in self.open if key[0] == peer]
        return [attempt for key in sessions for attempt in attempts(self.open.pop(key))]

    cpdef list take(self):
        cdef list taken = []
        cdef list items
        packs, self.open = self.open, {}
        for (peer, session), items in (<dict>packs).items():
            if len(items) == 1:
                taken.append((peer, _Tasks(session, items)))
                continue
            for part in cut(items):
                taken.append((peer, _Tasks(session, part)))
        return taken


cdef list cut(list items):
    """Cut ``items`` so that a part closes when its bodies reach ``MAX_PACK`` bytes."""
    cdef Py_ssize_t filled = 0
    cdef list part = []
    cdef list parts = [part]
    for item in items:
        if filled >= MAX_PACK:
            part = []
            parts.append(part)
            filled = 0
        part.append(item)
        filled += len(item.body)
    return parts


# What workers say ---------------------------------------------------------------------------


@cython.final
cdef class Acks:
    # By the worker's instance.
    cdef dict _later
    cdef dict _next
    cdef bint _hurried

    def __init__(self):
        self._later = {}
        self._next = {}
        self._hurried = False

    def __bool__(self):
        return bool(self._later or self._next)

    cpdef int owe(self, Worker worker, long long seq, Py_ssize_t size, double now) except -1:
        worker.ack = seq
        name = worker.instance
        if seq - worker.acked >= MANY or size > LARGE or worker.draining or self._hurried:
            self._next[name] = worker
        elif name not in self._later:
            worker.ack_due = now + PATIENCE
            self._later[name] = worker
        return 0

    def hasten(self, Worker worker):
        if worker.instance in self._later:
            self._next[worker.instance] = worker

    def hurry(self):
        self._hurried = True
        self._next.update(self._later)

    def forget(self, Worker worker):
        self._later.pop(worker.instance, None)
        self._next.pop(worker.instance, None)

    def take(self, double now):
        cdef Worker worker
        for worker in self._next.values():
            self._later.pop(worker.instance, None)
            if worker.ack != worker.acked:
                worker.acked = worker.ack
                yield worker
        self._next.clear()
        while self._later:
            worker = next(iter(self._later.values()))
            if worker.ack_due > now:
                return
            del self._later[worker.instance]
            if worker.ack != worker.acked:
                worker.acked = worker.ack
                yield worker


cdef class Reception:
    cdef readonly Flow _dispatcher
    cdef readonly dict _by_peer
    cdef readonly Acks _acks

    def __init__(self, Flow dispatcher):
        self._dispatcher = dispatcher
        self._by_peer = {}
        self._acks = Acks()

    def says(self, WorkerSays event, double now):
        cdef Worker worker = None
        cdef list items
        message = event.message
        kind = type(message)
        if kind is not _Hello:
            worker = self._by_peer.get(event.peer)
        if worker is None or worker.key != event.key:
            self.introduced(event, now)
            return
        if not worker.stale:
            worker.last_heard = now
        if kind is _Results:
            items = message.items
            self._acks.owe(worker, message.seq, len(items[len(items) - 1].body) if items else 0, now)
            self._dispatcher.c_results(worker, items, now)
            self._grant(worker, message.slots, message.ahead, now)
        elif kind is _Heartbeat:
            self._grant(worker, message.slots, message.ahead, now)
        else:
            self.unusual(worker, message, now)

    cpdef int _grant(self, Worker worker, long slots, long ahead, double now) except -1:
        cdef Pool pool = worker.pool
        worker.slots = slots
        worker.ahead = ahead
        pool.place(worker)
        if pool.quick or pool.careful:
            self._dispatcher.c_serve(pool, now)
        return 0


# The loop -----------------------------------------------------------------------------------


cdef class Machine:
    cdef readonly list _out
    cdef public dict _handlers
    cdef public Flow _flow

    def __init__(self):
        self._out = []
        self._handlers = {}

    def handle(self, event, double now):
        self._handlers[type(event)](event, now)
        return self._take_actions()

    def handle_all(self, events, double now, on_fault):
        return self.c_handle_all(events, now, on_fault)

    cdef list c_handle_all(self, events, double now, on_fault):
        cdef dict handlers = self._handlers
        for event in events:
            try:
                handlers[type(event)](event, now)
            except Exception as error:
                self.failed(event, now)
                on_fault(error, event)
        return self._take_actions()

    cdef list _take_actions(self):
        cdef list actions
        self._flow.c_end_round()
        actions = self._out[:]
        self._out.clear()
        return actions


cdef class Turn:
    cdef public Machine _core
    cdef readonly object _doors, _clock, _gone, _lull
    cdef readonly Inbox _inbox
    cdef readonly list _replies
    cdef readonly Packs _packs
    cdef public dict _perform
    cdef public double _next_tick, _due
    # Of the doors.
    cdef object _poll, _front, _front_socket, _front_outbox
    cdef object _back, _back_socket, _back_outbox, _admin_outbox
    cdef set _busy
    cdef object _any_event, _attempts

    def __init__(self, Machine core, doors, Inbox inbox, list replies, clock):
        from vpoller_like.broker.gone import Gone
        from vpoller_like.broker.lull import Lull
        from vpoller_like.broker.packs import attempts
        from vpoller_like.broker.turn import worker_event

        self._core = core
        self._doors = doors
        self._inbox = inbox
        self._clock = clock
        self._replies = replies
        self._packs = Packs()
        self._gone = Gone(self._packs)
        self._lull = Lull()
        self._perform = {}
        self._next_tick = 0.0
        self._due = 0.0
        self._poll = doors.poll
        self._front, self._back = doors.frontend, doors.backend
        self._front_socket, self._back_socket = doors.frontend.socket, doors.backend.socket
        self._front_outbox, self._back_outbox = doors.frontend_outbox, doors.backend_outbox
        self._admin_outbox = doors.admin_outbox
        self._busy = doors.busy
        self._any_event = worker_event
        self._attempts = attempts

    def turn(self):
        cdef set ready = self._wait()
        if self._is_rare(ready):
            self.seldom(ready)
        self._frontend(ready)
        self._backend(ready)
        if self._gone.any:
            self.gone_workers(ready)
        if self._replies:
            self._c_send_replies()
        if self._packs.open:
            self._c_send_packs()

    # Time

    cdef set _wait(self):
        lull, poll = self._lull, self._poll
        self._due = min(
            self._next_tick,
            <double>self._front_outbox.due,
            <double>self._back_outbox.due,
            <double>self._admin_outbox.due,
        )
        if not lull.is_stirred and not self._core.is_idle:
            lull.stir()
        if self._gone.any or self._inbox.messages:
            return poll.wait(0.0)
        if not lull.is_on:
            return poll.wait(self._due - <double>self._clock())
        if lull.has_heard:
            return poll.wait(self._due - <double>self._clock(), self._back)
        ready = poll.wait(0.0)
        lull.has_heard = self._back_socket not in ready
        return ready

    cdef bint _is_rare(self, set ready) except -1:
        return not ready or not ready <= self._busy or <double>self._clock() >= self._due

    # What comes in

    cdef int _frontend(self, set ready) except -1:
        cdef Inbox inbox = self._inbox
        if not inbox.messages:
            inbox.messages.extend(self._front.receive(self._front_socket in ready))
        if inbox.messages:
            self._c_feed_all(inbox.c_take(self._front.asks_users))
        return 0

    cdef int _backend(self, set ready) except -1:
        cdef list messages = self._back.receive(self._back_socket in ready)
        if not messages:
            return 0
        if self._back.asks_users:
            self._c_feed_all(filter(None, map(self.allowed, messages)))
        else:
            self._c_feed_all([self._event(message) for message in messages])
        return 0

    cdef object _event(self, message):
        """Do what ``worker_event`` does of results; leave all others to it."""
        cdef list frames = message[0]
        cdef WorkerSays event
        if len(frames) == 3 and not message[1] and frames[1] == RESULTS_BYTE:
            try:
                results = _read_results(frames[2])
            except DECODE_FAULTS:
                return self._any_event(message)
            event = WorkerSays.__new__(WorkerSays)
            event.peer = frames[0]
            event.message = results
            event.key = ""
            return event
        return self._any_event(message)

    # What goes out

    cdef int _c_feed_all(self, events) except -1:
        cdef double now = self._clock()
        # Held while it runs: something may take its place meanwhile.
        cdef Machine core = self._core
        for action in core.c_handle_all(events, now, self.log_fault):
            if type(action) is Reply:
                self._replies.append(action)
            elif type(action) is Give:
                self._packs.add(<Give>action)
            else:
                self._perform[type(action)](action)
        return 0

    cdef int _c_send_replies(self) except -1:
        cdef Py_ssize_t lost = 0
        messages = c_reply_messages(self._replies)
        self._replies.clear()
        for outcome in self._front_outbox.send_all(messages):
            lost += outcome is not SENT
        if lost:
            self.undeliverable(lost)
        return 0

    cdef int _c_send_packs(self) except -1:
        for peer, tasks in self._packs.take():
            if not self._c_tell((peer, TASKS_BYTE, _write(tasks))):
                self._gone.keep(peer, self._attempts(tasks.items))
        return 0

    cdef bint _c_tell(self, tuple frames) except -1:
        if self._back_outbox.send(frames) is SENT:
            return True
        self._gone.note([frames[0]])
        return False

    # For Python

    def _feed_all(self, events):
        self._c_feed_all(events)

    def _send_replies(self):
        self._c_send_replies()

    def _send_packs(self):
        self._c_send_packs()

    def _tell(self, peer, message):
        return self._c_tell((peer, *_encode(message)))
