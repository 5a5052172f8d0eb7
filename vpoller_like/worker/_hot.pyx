# cython: language_level=3, wraparound=False, nonecheck=True
# cython: auto_pickle=False, always_allow_keywords=True
"""What each task goes through in a worker, in C.

Each class here does what the class of the same name does that is written in Python, to the letter;
read that one for the what and the why. See ``compiled.py``.
"""

cimport cython
from cpython.exc cimport PyErr_CheckSignals, PyErr_SetFromErrno
from libc.errno cimport EINTR, errno
from libc.math cimport rint
from posix.time cimport CLOCK_MONOTONIC, clock_gettime, timespec
from posix.unistd cimport close, read

from collections import OrderedDict, deque
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


# Runs ---------------------------------------------------------------------------------------


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Debt:
    cdef readonly long link
    cdef readonly object task, attempt

    def __init__(self, long link, task, attempt):
        self.link = link
        self.task = task
        self.attempt = attempt

    def __eq__(self, other):
        if type(other) is not Debt:
            return NotImplemented
        cdef Debt debt = <Debt>other
        return self.link == debt.link and self.task == debt.task and self.attempt == debt.attempt

    def __hash__(self):
        return hash((self.link, self.task, self.attempt))

    def __repr__(self):
        return f"Debt(link={self.link!r}, task={self.task!r}, attempt={self.attempt!r})"


cdef Debt new_debt(long link, task, attempt):
    cdef Debt debt = Debt.__new__(Debt)
    debt.link = link
    debt.task = task
    debt.attempt = attempt
    return debt


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Finished:
    cdef readonly long long key, ran_us
    # As the host has them: a code may be a member of an enumeration.
    cdef readonly object code, body

    def __init__(self, long long key, code, long long ran_us, body):
        self.key = key
        self.code = code
        self.ran_us = ran_us
        self.body = body

    cdef tuple _fields(self):
        return (self.key, self.code, self.ran_us, self.body)

    def __eq__(self, other):
        if type(other) is not Finished:
            return NotImplemented
        return self._fields() == (<Finished>other)._fields()

    def __hash__(self):
        return hash(self._fields())

    def __repr__(self):
        return (
            f"Finished(key={self.key!r}, code={self.code!r}, ran_us={self.ran_us!r}, "
            f"body={self.body!r})"
        )


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Run:
    cdef readonly long long key
    # Not to be replaced by one of another method, or with another id: see below.
    cdef readonly object item
    cdef public list debts
    cdef public double given_at
    cdef public bint brief, slow
    cdef public object started_at, deadline
    cdef public Finished outcome
    cdef public long unacknowledged
    # Of the item, which is found there after a while.
    cdef str _method
    cdef bint _has_id

    def __init__(
        self,
        long long key,
        item,
        list debts,
        double given_at,
        bint brief=False,
        started_at=None,
        deadline=None,
        bint slow=False,
        Finished outcome=None,
        long unacknowledged=0,
    ):
        self.key = key
        self.item = item
        self.debts = debts
        self.given_at = given_at
        self.brief = brief
        self.started_at = started_at
        self.deadline = deadline
        self.slow = slow
        self.outcome = outcome
        self.unacknowledged = unacknowledged
        self._method = item.method
        self._has_id = item.id is not None

    def __repr__(self):
        return (
            f"Run(key={self.key!r}, item={self.item!r}, debts={self.debts!r}, "
            f"given_at={self.given_at!r}, brief={self.brief!r}, started_at={self.started_at!r}, "
            f"deadline={self.deadline!r}, slow={self.slow!r}, outcome={self.outcome!r}, "
            f"unacknowledged={self.unacknowledged!r})"
        )

    @property
    def encoding(self):
        return _encoding_of(self.item.body)

    cpdef shed(self):
        item = self.item
        self.item = _Assignment(
            item.task,
            item.attempt,
            item.method,
            item.hostname,
            item.principal,
            item.id,
            item.fingerprint,
            b"",
        )

    cpdef Debt debt_to(self, long link):
        cdef Debt debt
        for debt in reversed(self.debts):
            if debt.link == link:
                return debt
        return None

    def held_for(self, task, attempt):
        item = self.item
        return _Held(
            task, attempt, item.method, item.hostname, item.principal, item.id, item.fingerprint
        )

    def own_debt(self, long link):
        return self.debt_to(link) or new_debt(link, self.item.task, self.item.attempt)

    cdef double _slow_at(self):
        cdef double at = 0.0 if self.started_at is None else self.started_at
        return (at if at != 0.0 else self.given_at) + SLOW_SECONDS

    cdef double _next_look(self):
        cdef double deadline = NEVER if self.deadline is None else self.deadline
        return deadline if self.slow else min(deadline, self._slow_at())


@cython.final
cdef class Runs:
    cdef readonly dict waiting, running, stuck, numbers, _by_id
    cdef long long _keys

    def __init__(self):
        self.waiting = {}
        self.running = {}
        self.stuck = {}
        self.numbers = {}
        self._by_id = {}
        self._keys = 0

    cdef dict _known_to(self, link):
        known = self.numbers.get(link)
        if known is None:
            known = self.numbers[link] = {}
        return <dict?>known

    cdef Run _add(self, dict known, long link, item, bint brief, double now):
        cdef Run run = Run.__new__(Run)
        self._keys += 1
        run.key = self._keys
        run.item = item
        task = item.task
        run.debts = [new_debt(link, task, item.attempt)]
        run.given_at = now
        run.brief = brief
        run._method = item.method
        self.waiting[run.key] = run
        known[task] = run
        request_id = item.id
        run._has_id = request_id is not None
        if run._has_id:
            self._by_id[(item.principal, request_id)] = run
        return run

    def add(self, long link, item, bint brief, double now):
        return self._add(self._known_to(link), link, item, brief, now)

    cdef bint _knows_id(self, item) except -1:
        request_id = item.id
        return request_id is not None and (item.principal, request_id) in self._by_id

    def by_task(self, link, task):
        return self._known_to(link).get(task)

    def by_id(self, principal, request_id):
        return None if request_id is None else self._by_id.get((principal, request_id))

    def owe(self, Run run not None, Debt debt not None):
        run.debts.append(debt)
        self._known_to(debt.link).setdefault(debt.task, run)

    def release(self, Run run not None, Debt debt not None):
        cdef Debt other
        run.debts.remove(debt)
        for other in run.debts:
            if other.link == debt.link and other.task == debt.task:
                return
        known = self._known_to(debt.link)
        if known.get(debt.task) is run:
            del known[debt.task]

    cpdef Run start(self, key, at):
        cdef Run run = self.waiting.pop(key, None)
        if run is not None:
            run.started_at = at
            self.running[key] = run
        return run

    cpdef Run finish(self, key):
        cdef Run run = self.waiting.pop(key, None)
        if run is None:
            run = self.running.pop(key, None)
        if run is None:
            self.stuck.pop(key, None)
        return run

    def give_up(self, Run run not None):
        self.stuck[run.key] = self.running.pop(run.key)

    def withdraw(self, key):
        cdef Run run = self.waiting.pop(key, None)
        if run is not None:
            self.forget(run)
        return run

    cpdef settle(self, Run run):
        cdef Debt debt
        cdef dict known
        for debt in run.debts:
            known = self._known_to(debt.link)
            if known.get(debt.task) is run:
                del known[debt.task]
        run.debts.clear()

    cpdef forget(self, Run run):
        self.settle(run)
        if run._has_id:
            item = run.item
            id_key = (item.principal, item.id)
            if self._by_id.get(id_key) is run:
                del self._by_id[id_key]

    def owed_to(self, long link):
        cdef Run run
        cdef Debt debt
        found = []
        for run in [*self.running.values(), *self.waiting.values()]:
            for debt in run.debts:
                if debt.link == link:
                    found.append((run, debt))
        return found

    cpdef list slow(self):
        cdef Run run
        return [run for run in self.running.values() if run.slow]

    @property
    def occupied(self):
        return len(self.running) + len(self.stuck)

    @property
    def unfinished(self):
        return bool(self.waiting or self.running)


# Methods, and what may be given -------------------------------------------------------------


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


# Results on their way -----------------------------------------------------------------------


@cython.final
@cython.no_gc
cdef class Pack:
    cdef readonly long long seq
    cdef readonly list runs, results
    cdef readonly Py_ssize_t bytes

    def __init__(self, long long seq, list runs not None, list results not None, Py_ssize_t bytes):
        self.seq = seq
        self.runs = runs
        self.results = results
        self.bytes = bytes

    cdef tuple _fields(self):
        return (self.seq, self.runs, self.results, self.bytes)

    def __eq__(self, other):
        if type(other) is not Pack:
            return NotImplemented
        return self._fields() == (<Pack>other)._fields()

    def __hash__(self):
        return hash(self._fields())

    def __repr__(self):
        return (
            f"Pack(seq={self.seq!r}, runs={self.runs!r}, results={self.results!r}, "
            f"bytes={self.bytes!r})"
        )


@cython.final
cdef class Outbox:
    cdef double _since
    cdef bint _waits
    cdef list _runs, _results
    cdef Py_ssize_t _bytes
    cdef object _sent
    cdef long long _seq

    def __init__(self):
        self._waits = False
        self._runs = []
        self._results = []
        self._bytes = 0
        self._sent = deque()
        self._seq = 0

    @property
    def since(self):
        return self._since if self._waits else None

    def __iter__(self):
        cdef Pack pack
        found = []
        for pack in self._sent:
            found.extend(zip(pack.runs, pack.results, strict=True))
        found.extend(zip(self._runs, self._results, strict=True))
        return iter(found)

    def __bool__(self):
        return bool(self._sent) or bool(self._results)

    def add(self, Run run not None, result, double now):
        self._add(run, result, len(result.body), now)

    cdef int _add(self, Run run, result, Py_ssize_t size, double now) except -1:
        self._runs.append(run)
        self._results.append(result)
        self._bytes += size
        if not self._waits:
            self._waits = True
            self._since = now
        return 0

    cpdef list take_packs(self):
        cdef list runs = self._runs, results = self._results
        cdef Py_ssize_t total = self._bytes, first = 0, last = 0, part = 0, size
        self._runs, self._results, self._bytes, self._waits = [], [], 0, False
        if total <= MAX_PACK:
            return [self._pack(runs, results, total)] if results else []
        packs = []
        for result in results:
            size = len(result.body)
            if last > first and part + size > MAX_PACK:
                packs.append(self._pack(runs[first:last], results[first:last], part))
                first, part = last, 0
            last += 1
            part += size
        packs.append(self._pack(runs[first:last], results[first:last], part))
        return packs

    cdef Pack _pack(self, list runs, list results, Py_ssize_t size):
        cdef Pack pack = Pack.__new__(Pack)
        self._seq += 1
        pack.seq = self._seq
        pack.runs = runs
        pack.results = results
        pack.bytes = size
        self._sent.append(pack)
        return pack

    def acknowledge(self, long long seq):
        settled = []
        if seq > self._seq:
            return settled
        while self._sent and (<Pack?>self._sent[0]).seq <= seq:
            settled.extend((<Pack?>self._sent.popleft()).runs)
        return settled

    def rewind(self, double now):
        unsent = list(self)
        self._sent.clear()
        self._seq = 0
        self._hold(unsent)
        self._waits, self._since = bool(unsent), now

    def discard(self, unwanted):
        cdef Py_ssize_t index
        dropped, kept = [], []
        for index in range(len(self._runs)):
            run = self._runs[index]
            if unwanted(run):
                dropped.append(run)
            else:
                kept.append((run, self._results[index]))
        self._hold(kept)
        if not self._results:
            self._waits = False
        return dropped

    cdef _hold(self, list unsent):
        self._runs = [run for run, _ in unsent]
        self._results = [result for _, result in unsent]
        self._bytes = sum([len(result.body) for result in self._results])


# What is remembered -------------------------------------------------------------------------


@cython.final
@cython.no_gc
@cython.freelist(512)
cdef class Entry:
    cdef Run run
    cdef double until


@cython.final
cdef class Memory:
    cdef readonly long long bytes
    cdef double _seconds
    cdef readonly object _max_bytes, _max_count, _entries

    def __init__(self, double seconds, max_bytes, max_count):
        self.bytes = 0
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._entries = OrderedDict()

    def __len__(self):
        return len(self._entries)

    def limit(self, max_bytes, max_count):
        self._max_bytes = max_bytes
        self._max_count = max_count

    cpdef list keep(self, Run run, double now):
        cdef Entry entry = Entry.__new__(Entry)
        cdef list evicted = []
        run.shed()
        self._drop(run.key)
        entry.run = run
        entry.until = now + self._seconds
        self._entries[run.key] = entry
        self.bytes += cost_of(run)
        while self.bytes > self._max_bytes or len(self._entries) > self._max_count:
            evicted.append(self._drop_oldest())
        return evicted

    def expire(self, double now):
        expired = []
        while self._entries and (<Entry?>next(iter(self._entries.values()))).until <= now:
            expired.append(self._drop_oldest())
        return expired

    def take_out(self, Run run not None):
        self._drop(run.key)

    cdef int _drop(self, key) except -1:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= cost_of((<Entry?>entry).run)
        return 0

    cdef Run _drop_oldest(self):
        _, entry = self._entries.popitem(last=False)
        cdef Run run = (<Entry?>entry).run
        self.bytes -= cost_of(run)
        return run


cdef Py_ssize_t cost_of(Run run):
    return REMEMBERED_BYTES + (0 if run.outcome is None else len(run.outcome.body))


# What is owed -------------------------------------------------------------------------------


cdef class Debts:
    cdef readonly Runs runs
    cdef readonly Memory memory
    cdef readonly list _outboxes
    cdef public list unwanted

    def __init__(self, outboxes, Memory memory not None):
        cdef Outbox outbox
        self.runs = Runs()
        self.memory = memory
        self._outboxes = [outbox for outbox in outboxes]
        self.unwanted = []

    def take(self, long link, items, is_brief, double now):
        cdef Runs runs = self.runs
        cdef dict known = runs._known_to(link)
        taken = []
        for item in items:
            before = known.get(item.task)
            is_known = before is not None or runs._knows_id(item)
            if not is_known or self._is_new(before, link, item, now):
                taken.append(runs._add(known, link, item, is_brief(item.method), now))
        return taken

    cpdef conclude(self, Run run, Finished outcome, double now):
        cdef Debt debt
        run.outcome = outcome
        if len(run.item.body) > LARGE:
            run.shed()
        if run.debts:
            for debt in run.debts:
                self._pay_one(run, outcome, debt, now)
        else:
            self._settle(run, now)

    def acknowledge(self, long link, long long seq, double now):
        self._paid(self._outbox(link).acknowledge(seq), now)

    def _is_new(self, known, link, item, now):
        raise NotImplementedError

    def _pay(self, Run run not None, Finished outcome not None, debts, double now):
        cdef Debt debt
        for debt in debts:
            self._pay_one(run, outcome, debt, now)

    cdef int _pay_one(self, Run run, Finished outcome, Debt debt, double now) except -1:
        run.unacknowledged += 1
        result = _Result(debt.task, debt.attempt, outcome.code, outcome.ran_us, outcome.body)
        return self._outbox(debt.link)._add(run, result, len(outcome.body), now)

    cdef Outbox _outbox(self, long link):
        if not 0 <= link < len(self._outboxes):
            raise IndexError(link)
        return <Outbox?>self._outboxes[link]

    cpdef _paid(self, runs, double now):
        cdef Run run
        for run in runs:
            run.unacknowledged -= 1
            if not run.unacknowledged:
                self._settle(run, now)

    cdef int _settle(self, Run run, double now) except -1:
        self.runs.settle(run)
        if not run._has_id:
            return 0
        if run.outcome is None or run.outcome.code not in REMEMBERED:
            self.runs.forget(run)
            return 0
        for evicted in self.memory.keep(run, now):
            self.runs.forget(evicted)
        return 0


# Threads ------------------------------------------------------------------------------------


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


# Who leads ----------------------------------------------------------------------------------


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


# Brokers ------------------------------------------------------------------------------------


cdef class Standing:
    cdef readonly long index
    cdef readonly Outbox outbox
    cdef public object session, max_reply
    cdef public bint welcomed
    cdef public Grant told
    cdef public double _told_at, _hello_due, _beat_due, heard_at, _liveness

    def __init__(self, long index):
        self.index = index
        self.outbox = Outbox()
        self.session = 0
        self.welcomed = False
        self.told = NOTHING
        self._told_at = -NEVER
        self._hello_due = -NEVER
        self._beat_due = -NEVER
        self.heard_at = -NEVER
        self._liveness = LIVENESS
        self.max_reply = MAX_REPLY

    cpdef bint tell(self, Grant grant, double now) except -1:
        cdef Grant told = self.told
        self.told = grant
        self._told_at = now
        return _is_news(told, grant)

    @property
    def next_tell(self):
        return self._told_at + GRANT_PAUSE

    cpdef double next_due(self) except? -1:
        if not self.welcomed:
            return self._hello_due
        return min(self.heard_at + self._liveness, self._beat_due)


# The usual way of a task --------------------------------------------------------------------


cdef class Flow:
    cdef readonly list _links
    cdef readonly Debts _ledger
    cdef readonly Runs _runs
    cdef readonly object _timeouts, _departure
    cdef readonly Pace _pace
    cdef readonly long _threads
    cdef public bint _exited
    cdef public object _links_due
    cdef public list _out
    cdef public dict _handlers, _answers
    cdef list _outboxes

    def __init__(self, links, Debts ledger not None, timeouts, long threads):
        _bind()
        self._links = list(links)
        self._ledger = ledger
        self._outboxes = ledger._outboxes
        self._runs = ledger.runs
        self._timeouts = timeouts
        self._threads = threads
        self._pace = Pace()
        self._departure = _Departure()
        self._exited = False
        self._links_due = None
        self._out = []
        self._handlers = {}
        self._answers = {}

    def handle(self, event, double now):
        return self._handle(event, now)

    cdef list _handle(self, event, double now):
        if self._exited:
            return []
        kind = type(event)
        if kind is _Received:
            return self._hear(event.link, event.message, now)
        if kind is _Progress:
            return self._note(event.started, event.finished, now)
        self._handlers[kind](event, now)
        return self._conclude(now)

    cdef list _hear(self, Py_ssize_t index, message, double now):
        if self._exited:
            return []
        self._received(index, message, now)
        return self._conclude(now)

    cdef list _note(self, started, finished, double now):
        if self._exited:
            return []
        self._progress(started, finished, now)
        return self._conclude(now)

    cdef list _conclude(self, double now):
        cdef Py_ssize_t index
        cdef list actions
        for index in range(len(self._outboxes)):
            if (<Outbox?>self._outboxes[index])._waits:
                self._flush(index, now)
        if self._departure.leaving:
            self._depart(now)
        actions = self._out
        self._out = []
        return actions

    def next_due(self, double now):
        cdef double due = self._next_due(now)
        return None if self._exited else due

    cdef double _next_due(self, double now) except? -1:
        # Nothing that counts after Exit.
        cdef double due
        cdef Run run
        if self._exited:
            return NEVER
        if self._links_due is None:
            due = now + 1.0 if not self._links else NEVER
            for link in self._links:
                due = min(due, self._link_due(<Standing?>link, now))
            self._links_due = due
        else:
            due = self._links_due
        if self._departure.leaving:
            due = min(due, <double>self._departure.next_due())
        if self._runs.waiting:
            due = min(due, now + FLUSH_SECONDS, self._flush_due())
        if self._runs.running:
            for run in self._runs.running.values():
                due = min(due, run._next_look())
        return due if due > now else now

    cdef double _link_due(self, Standing link, double now) except? -1:
        cdef double due = link.next_due()
        cdef Grant told = link.told
        if link.welcomed and _is_news(told, self._grant(link, now)):
            due = min(due, link._told_at + GRANT_PAUSE)
        return due

    cdef double _flush_due(self) except? -1:
        cdef double due = NEVER
        cdef Py_ssize_t index
        cdef Outbox outbox
        for index in range(len(self._outboxes)):
            outbox = self._outboxes[index]
            if outbox._waits and (<Standing?>self._links[index]).welcomed:
                due = min(due, outbox._since + FLUSH_SECONDS)
        return due

    # What comes in ---------------------------------------------------------------------

    cdef int _received(self, Py_ssize_t index, message, double now) except -1:
        # Held here: what it calls in Python may do anything to this core, even begin it anew.
        cdef Debts ledger = self._ledger
        if not 0 <= index < len(self._links):
            raise IndexError(index)
        cdef Standing link = self._links[index]
        kind = type(message)
        link.heard_at = now
        if kind is _Tasks:
            self._tasks(ledger, index, link, message, now)
        elif kind is _Ack:
            ledger._paid(ledger._outbox(index).acknowledge(message.seq), now)
        else:
            if kind is not _Alive:
                self._links_due = None
            self._answers[kind](link, message, now)
        if ledger.unwanted:
            self._recall(ledger.take_unwanted())
        return 0

    cdef int _tasks(self, Debts ledger, long index, Standing link, message, double now) except -1:
        cdef list items, runs
        if message.session != link.session:
            return 0
        items = message.items
        if self._departure.leaving:
            self._return(link, [_Attempt(item.task, item.attempt) for item in items], now)
            return 0
        runs = ledger.take(index, items, self._pace.is_brief, now)
        if runs:
            self._out.append(_Submit(runs))
        if len(runs) < len(items):
            self._links_due = None
        return 0

    cdef int _progress(self, all_started, all_finished, double now) except -1:
        cdef Debts ledger = self._ledger
        cdef Run run
        cdef Finished finished
        for started in all_started:
            run = self._runs.start(started.key, started.at)
            if run is not None:
                run.deadline = started.at + self._timeouts.of(run)
        for finished in all_finished:
            run = self._runs.finish(finished.key)
            if run is None:
                continue
            if run.slow or not run.debts:
                self._links_due = None
            self._pace.note(run._method, <double>finished.ran_us / 1e6, now)
            ledger.conclude(run, finished, now)
        return 0

    # What goes out ---------------------------------------------------------------------

    cdef int _flush(self, Py_ssize_t index, double now) except -1:
        cdef Outbox outbox = self._outboxes[index]
        cdef Pack pack
        cdef list results
        cdef Standing link = self._links[index]
        cdef Grant grant
        if not link.welcomed or (self._runs.waiting and now < outbox._since + FLUSH_SECONDS):
            self._links_due = None
            return 0
        grant = self._tell(link, now)
        for pack in outbox.take_packs():
            results = pack.results
            max_reply = link.max_reply
            if pack.bytes > max_reply:
                results = [_within(result, max_reply) for result in results]
            message = _Results(pack.seq, grant.slots, grant.ahead, results)
            self._out.append(_Send(index, message))
        return 0

    def _recall(self, keys):
        asked = list(keys)
        if asked:
            self._out.append(_Recall(asked))

    cpdef Grant _tell(self, Standing link, double now):
        cdef Grant grant = self._grant(link, now)
        if link.tell(grant, now):
            self._links_due = None
        return grant

    cpdef Grant _grant(self, Standing link, double now):
        if self._departure.leaving:
            return NOTHING
        return _grant_to(link.index, self._threads, self._runs, self._pace, now)

    # Who derives from it ---------------------------------------------------------------

    def _return(self, link, attempts, now):
        raise NotImplementedError

    def _depart(self, now):
        raise NotImplementedError


# The loop -----------------------------------------------------------------------------------


cdef object _read_common(frames):
    """Return what brokers say all the time; ``None`` for all else, and for what is no message."""
    cdef bytes command
    if type(frames) is not list or len(<list>frames) != 2:
        return None
    if type((<list>frames)[0]) is not bytes:
        return None
    command = (<list>frames)[0]
    if len(command) != 1:
        return None
    if <unsigned char>command[0] == TASKS:
        reader = _read_tasks
    elif <unsigned char>command[0] == ACK:
        reader = _read_ack
    else:
        return None
    try:
        return reader((<list>frames)[1])
    except FAULTS:
        # The one in Python finds that, too, and says what it is.
        return None


cdef class Turn:
    cdef readonly Flow _core
    cdef readonly Executor _executor
    cdef readonly object _waker, _clock, _orders
    cdef readonly list _ports
    cdef public object _poll, ended
    cdef public list _actions
    cdef public dict _perform
    cdef public double _next_pulse, _next_look

    def __init__(self, Flow core not None, Executor executor not None, list ports, waker, clock):
        self._core = core
        self._executor = executor
        self._ports = ports
        self._waker = waker
        self._clock = clock
        self._poll = Poll()
        self._orders = deque()
        self._actions = []
        self._perform = {}
        self._next_pulse = 0.0
        self._next_look = 0.0
        self.ended = None

    def settle(self):
        cdef double now, due
        cdef Flow core = self._core
        cdef list started = self._executor._take_started()
        cdef list finished = self._executor._take_finished()
        if started or finished:
            self._do(core._note(started, finished, time_of(self._clock)))
        now = time_of(self._clock)
        due = self._core._next_due(now)
        if now >= self._next_pulse or due <= now:
            found = self._look_around(now)
            due = NEVER if found is None else found
        self._next_look = min(due, self._next_pulse)
        return self.ended is None

    def listen(self):
        cdef double patience = 0.0
        cdef Py_ssize_t index
        if not self._executor._is_ready():
            patience = max(0.0, self._next_look - time_of(self._clock))
        ready = self._poll.wait(patience)
        if self._waker.fd in ready:
            self._waker.clear()
        for index in range(len(self._ports)):
            port = self._ports[index]
            for message in port.receive(port.socket in ready):
                self._take(index, message.frames)
        while self._orders:
            self._c_feed(self._orders.popleft())

    cdef int _take(self, Py_ssize_t index, frames) except -1:
        cdef Flow core = self._core
        said = _read_common(frames)
        if said is None:
            try:
                said = _decode(frames)
            except _ProtocolError as error:
                self._garbled(index, error)
                return 0
            if type(said) in REMARKABLE:
                self._remark(index, said)
                core = self._core
        return self._do(core._hear(index, said, time_of(self._clock)))

    def _feed(self, event):
        self._c_feed(event)

    cdef int _c_feed(self, event) except -1:
        cdef Flow core = self._core
        return self._do(core._handle(event, time_of(self._clock)))

    cdef int _do(self, list actions) except -1:
        # Held while it runs: something may take its place meanwhile.
        cdef Executor executor = self._executor
        self._actions = actions
        for action in actions:
            kind = type(action)
            if kind is _Send:
                link, message = action.link, action.message
                frames = (_COMMANDS[type(message)], _write(message))
                if self._ports[link].send(frames) is not DONE:
                    self._follow(_Unsent(link, message))
            elif kind is _Submit:
                executor._waiting.extend(action.runs)
            else:
                self._perform[kind](action)
        return 0

    cpdef _follow(self, event):
        cdef Flow core = self._core
        self._actions.extend(core._handle(event, time_of(self._clock)))

    # Who derives from it ---------------------------------------------------------------

    def _look_around(self, now):
        raise NotImplementedError

    def _remark(self, index, said):
        raise NotImplementedError

    def _garbled(self, index, error):
        raise NotImplementedError
