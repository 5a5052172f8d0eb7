"""Where tasks wait, to whom they are given, and how they end."""

from __future__ import annotations

from vpoller_like.broker.counters import Counters
from vpoller_like.broker.events import Action, Give, Reply, Request, Share
from vpoller_like.broker.memory import Memory, Remembered
from vpoller_like.broker.quota import Quota
from vpoller_like.broker.routing import Pool, Route
from vpoller_like.broker.task import Key, State, Task
from vpoller_like.broker.timetable import Timetable
from vpoller_like.broker.worker import Worker
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import (
    Busy,
    DeadlineExceeded,
    InvalidParams,
    ProtocolError,
    RequestError,
    TaskFailed,
    TooLarge,
    WorkerLost,
)
from vpoller_like.protocol.batch import is_whole
from vpoller_like.protocol.encoding import Encoding, encoding_of, transcode
from vpoller_like.protocol.reply import (
    ReplyMeta,
    enveloped,
    failure,
    is_envelope,
    read_text,
    with_meta,
)
from vpoller_like.protocol.request import asks_for_text
from vpoller_like.protocol.worker import Assignment, Result

#: Outcomes that the same id gets again; the empty code is a success.
REMEMBERED = frozenset(["", InvalidParams.code, TaskFailed.code, TooLarge.code, WorkerLost.code])
#: What a waiting task costs beside its body, in bytes.
OVERHEAD = 1024
_NO_KEY: tuple[str, None] = ("", None)
# To find an enumeration's member takes longer than most of what is done with it.
_QUEUED, _RUNNING, _DONE = State.QUEUED, State.RUNNING, State.DONE
#: What ``retry_after_ms`` says at least and at most; between them, the time in which half of
#: the queue will be gone.
MIN_RETRY_MS = 100
MAX_RETRY_MS = 5000


class Dispatcher:
    """Owns every task that is not answered yet."""

    def __init__(
        self, settings: BrokerSettings, memory: Memory, counters: Counters, out: list[Action]
    ) -> None:
        self._settings = settings
        self._max_reply = settings.max_reply
        self._queue_length = settings.queue_length
        self.quota = Quota(settings.max_in_flight, settings.queue_bytes)
        self._memory = memory
        self._counters = counters
        self._out = out
        #: Workers that have been given something in this round.
        self.giving: list[Worker] = []
        self.live: dict[int, Task] = {}
        self.by_key: dict[Key, Task] = {}
        #: When tasks that do not run yet are past their deadline.
        self.timetable: Timetable[Task] = Timetable()
        self.queued = 0
        self.queued_bytes = 0
        #: The most tasks that have waited at once for one route.
        self.longest_queue = 0

    # Accepting -------------------------------------------------------------------------

    def open(self, task: Task) -> None:
        """Take charge of ``task``, for which nobody waits or who is on its account.

        Raises ``Busy`` where that one has as many requests under way as it may.
        """
        if task.waiters and not self.quota.take(task.share):
            raise self._over_quota(task.route)
        self.live[task.number] = task
        task.route.live += 1
        if task.key is not None:
            self.by_key[task.key] = task

    def join(self, task: Task, waiter: Request) -> None:
        """One more client waits for ``task``; raises ``Busy`` as :meth:`open` does."""
        if not self.quota.take(waiter.share):
            raise self._over_quota(task.route)
        task.waiters.append(waiter.without_body())

    def submit(self, task: Task, now: float) -> None:
        """Take charge of ``task`` and give it to a worker with room, or let it wait its turn.

        Raises ``Busy`` where it may not wait, or as :meth:`open` does.
        """
        route = task.route
        worker = None if route.queue.size else route.find()
        if worker is None:
            self.require_room(route, task.share, len(task.body or b""))
        self.open(task)
        if worker is None:
            self.enqueue(task)
        else:
            self.give(worker, task, now)

    def start(self, task: Task, now: float) -> None:
        """Give ``task``, of which :meth:`open` took charge, to a worker, or let it wait."""
        worker = None if task.route.queue.size else task.route.find()
        if worker is not None:
            self.give(worker, task, now)
            return
        try:
            self.require_room(task.route, task.share, len(task.body or b""))
        except Busy as error:
            self.fail(task, error, now)
        else:
            self.enqueue(task)

    def _over_quota(self, route: Route) -> Busy:
        """Return what is said to who has as many requests under way as he may."""
        self._counters.busy += 1
        return Busy(
            f"{self.quota.max_requests} of your requests are not answered yet, and more are not "
            "taken; wait for some of them",
            retry_after_ms=self._retry_after_ms(route),
        )

    def require_room(self, route: Route, share: Share, size: int) -> None:
        """Raise ``Busy`` where no task of ``size`` bytes may wait on account of ``share``."""
        length, limit = route.queue.size, self._queue_length
        if length >= limit:
            raise self._busy(route, f"{length} of at most {limit}")
        if not self.quota.has_room(share, size + OVERHEAD):
            raise self._busy(
                route,
                f"all queues together may hold {self._settings.queue_bytes} B, and each caller "
                "as much of it as it leaves free",
            )

    def _busy(self, route: Route, why: str) -> Busy:
        self._counters.busy += 1
        return Busy(
            f"too many requests wait for {route.method}: {why}; try again later",
            retry_after_ms=self._retry_after_ms(route),
        )

    def _retry_after_ms(self, route: Route) -> int:
        slots = sum(pool.slots for pool in route.pools)
        wait = route.pace * len(route.queue) / max(1, slots)
        return int(min(MAX_RETRY_MS, max(MIN_RETRY_MS, 1000 * wait / 2)))

    # Queueing --------------------------------------------------------------------------

    def enqueue(self, task: Task, front: bool = False) -> None:
        """Let ``task`` wait for a worker, until its deadline."""
        task.state = _QUEUED
        task.worker = None
        queue = task.route.queue
        if front:
            queue.push_front(task)
        else:
            queue.push(task)
        size = len(task.body or b"")
        self.queued += 1
        self.queued_bytes += size
        self.quota.hold(task.share, OVERHEAD + size)
        if queue.size > self.longest_queue:
            self.longest_queue = queue.size
        self.timetable.set(task, task.deadline)

    def hold(self, task: Task) -> None:
        """``task`` waits, and costs memory for so long."""
        self.quota.hold(task.share, OVERHEAD + len(task.body or b""))

    def release(self, task: Task) -> None:
        """``task`` waits no more."""
        self.quota.release(task.share, OVERHEAD + len(task.body or b""))

    def dequeue(self, task: Task) -> None:
        """Take a waiting ``task`` out of its queue."""
        task.route.queue.remove(task)
        self._left_queue(task)

    def _left_queue(self, task: Task) -> None:
        size = len(task.body or b"")
        self.queued -= 1
        self.queued_bytes -= size
        self.quota.release(task.share, OVERHEAD + size)
        self.timetable.cancel(task)

    def extend_deadline(self, task: Task, deadline: float) -> None:
        """Somebody else waits for ``task`` too, until ``deadline``."""
        if deadline > task.deadline:
            task.deadline = deadline
            if task.state in (_QUEUED, State.SEEKING):
                self.timetable.set(task, deadline)
            elif task.state is State.PLAIN:
                self.timetable.set(task, self.plain_due(task))

    def plain_due(self, task: Task) -> float:
        """Return until when the answer of the plain worker to ``task`` is waited for."""
        return min(task.deadline, task.given_at + self._settings.plain_timeout_ms / 1000)

    # Giving ----------------------------------------------------------------------------

    def serve(self, pool: Pool, now: float) -> None:
        """Give what waits to the workers of ``pool`` that have room, routes in turn."""
        while (route := pool.next_waiting()) is not None:
            if not route.queue.size:
                route.ready_again(pool)
                continue
            worker = pool.find(route.method)
            assert worker is not None, "a route is named only where there is room for it"
            self._give_next(worker, route, now)
            # Where no other one waits it is its turn again.
            alone = len(pool.quick) + len(pool.careful) == 1
            while alone and route.queue.size and (worker := pool.find(route.method)):
                self._give_next(worker, route, now)

    def serve_route(self, route: Route, now: float) -> None:
        """Give what waits for ``route`` to whoever has room."""
        while route.queue.size and (worker := route.find()) is not None:
            self._give_next(worker, route, now)

    def _give_next(self, worker: Worker, route: Route, now: float) -> None:
        task = route.queue.pop(now)
        self._left_queue(task)
        if task.deadline < now:
            self._too_late(task, now)
        else:
            self.give(worker, task, now)

    def give(self, worker: Worker, task: Task, now: float) -> None:
        """Give ``task`` to ``worker``, which has room."""
        task.state = _RUNNING
        task.worker = worker
        task.attempt += 1
        task.given_at = now
        held = worker.tasks
        held[task.number] = task
        free = worker.slots - len(held)
        if not free or not free + worker.ahead:
            # Between these two nothing changes in what it may be given.
            worker.pool.place(worker)
        principal, id = task.key or _NO_KEY
        route = task.route
        assignment = Assignment(
            task.number,
            task.attempt,
            route.method,
            route.hostname,
            principal,
            id,
            task.fingerprint,
            task.body or b"",
        )
        if worker.giving is None:
            worker.giving = [assignment]
            self.giving.append(worker)
            self._out.append(Give(worker.peer, worker.session, worker.giving))
        else:
            worker.giving.append(assignment)

    def end_round(self) -> None:
        """What is given from now on goes by another message."""
        for worker in self.giving:
            worker.giving = None
        self.giving.clear()

    def take_up(self, worker: Worker, task: Task, number: int, attempt: int) -> None:
        """``worker`` runs ``task`` already, under its own ``number`` and ``attempt``."""
        if task.state is _QUEUED:
            self.dequeue(task)
        self.timetable.cancel(task)
        self.live.pop(task.number, None)
        task.number = number
        task.attempt = attempt
        task.state = _RUNNING
        task.worker = worker
        worker.tasks[number] = task
        self.live[number] = task

    def take_back(self, task: Task, now: float) -> None:
        """``task`` was given but not started: it is the next one again."""
        self._leave_worker(task)
        self._counters.returned += 1
        if task.body is None:
            # A run that a worker brought along; no client asked here, so none waits.
            self.close(task)
            return
        self.enqueue(task, front=True)
        self.serve_route(task.route, now)

    def worker_lost(self, task: Task, now: float) -> None:
        """The worker that held ``task`` is gone; redeliver, or say so."""
        worker = task.worker
        label = worker.label if worker is not None else "?"
        flags = worker.pool.methods.get(task.route.method) if worker is not None else None
        self._leave_worker(task)
        task.losses += 1
        if flags is None or not flags.retry_safe or task.body is None:
            self._counters.worker_lost += 1
            message = f"worker {label} was lost while it held the task, which may have run"
            self.fail(task, WorkerLost(message, worker=label), now)
        elif task.losses >= self._settings.max_attempts:
            message = f"{task.losses} workers were lost while they held the task, {label} last"
            self.fail(task, TaskFailed(message, attempts=task.losses, worker=label), now)
        else:
            self._counters.redelivered += 1
            self.enqueue(task, front=True)
            self.serve_route(task.route, now)

    # Ending ----------------------------------------------------------------------------

    def result(self, task: Task, item: Result, now: float) -> None:
        """The worker that holds ``task`` has answered."""
        body = item.body
        route = task.route
        route.pace += (item.ran_us / 1e6 - route.pace) / 8
        if task.body is None:
            task.encoding = encoding_of(body)
        if len(body) > self._max_reply and self.is_too_large(task, body, now):
            return
        if is_envelope(body, task.encoding):
            self.finish(task, item.code, body, now, item.ran_us / 1000)
        else:
            self._without_envelope(task, item, now)

    def _without_envelope(self, task: Task, item: Result, now: float) -> None:
        """The worker has answered with what is a text, for who asked for one, or an error."""
        body = item.body
        text = _wanted_text(task, body)
        if text is None:
            label = task.worker.label if task.worker else "?"
            what = f"something that is no {task.encoding.value} object"
            self.fail(task, TaskFailed(f"worker {label} answered with {what}"), now)
            return
        if task.waiters[0].index is not None:
            # In JSON a text may become six times as long.
            body = enveloped(text, item.code, task.encoding)
        if not self.is_too_large(task, body, now):
            self.finish(task, item.code, body, now, item.ran_us / 1000)

    def is_too_large(self, task: Task, body: bytes, now: float) -> bool:
        """Say whether the reply ``body`` is too large to be sent, and answer so if it is."""
        limit = self._max_reply
        if len(body) <= limit:
            return False
        message = (
            f"the reply has {len(body)} bytes, more than the {limit} allowed; ask for less, or "
            "raise max_reply at the broker and at its workers"
        )
        self.fail(task, TooLarge(message, size=len(body), limit=limit), now)
        return True

    def fail(self, task: Task, error: RequestError, now: float) -> None:
        """Answer ``task`` with ``error``."""
        self.finish(task, error.code, failure(error, task.encoding), now)

    def expire(self, task: Task, now: float) -> None:
        """The deadline of a waiting ``task`` has passed."""
        self.dequeue(task)
        self._too_late(task, now)

    def _too_late(self, task: Task, now: float) -> None:
        self._counters.expired += 1
        waited = int((now - task.arrived) * 1000)
        message = f"no worker had room for {task.route.method} within {waited} ms; {task.fate}"
        self.fail(task, DeadlineExceeded(message, waited_ms=waited), now)

    def finish(
        self, task: Task, code: str, body: bytes, now: float, ran_ms: float | None = None
    ) -> None:
        """Answer all who wait for ``task`` with ``body``, and remember it where it counts."""
        meta = None
        if task.key is not None and code in REMEMBERED:
            meta = _meta(task, ran_ms)
            self._remember(task, body, meta, now)
        for waiter in task.waiters:
            if waiter.head.meta is None and waiter.index is None:
                self._counters.replies += 1
                self._out.append(Reply(waiter.envelope, body))
                continue
            if meta is None and waiter.head.meta is not None:
                meta = _meta(task, ran_ms)
            self.reply(waiter, body, meta, task.encoding)
        self.close(task)

    def finish_bare(self, task: Task, body: bytes, now: float) -> None:
        """Answer all who wait for ``task`` with ``body`` to the letter, without ``meta``."""
        if task.key is not None:
            self._remember(task, body, None, now)
        for waiter in task.waiters:
            self.reply(waiter, body, None, task.encoding)
        self.close(task)

    def _remember(self, task: Task, body: bytes, meta: ReplyMeta | None, now: float) -> None:
        assert task.key is not None, "only a task with an id is remembered"
        mark = task.fingerprint or b""
        entry = Remembered(mark, body, task.encoding, meta, task.arrived, now)
        self._memory.put(task.key, entry)

    def reply(
        self, waiter: Request, body: bytes, meta: ReplyMeta | None, encoding: Encoding
    ) -> None:
        """Send ``body`` to one client, with ``meta``, if there is some and it sent some."""
        if waiter.index is not None and not is_whole(body, encoding):
            # It would spoil, or forge, what others of its pack are answered.
            message = f"a worker answered with something that is no {encoding.value} object"
            body = failure(TaskFailed(message), encoding)
        if meta is not None and waiter.head.meta is not None:
            body = with_meta(body, meta, encoding)
        self._counters.replies += 1
        self._out.append(Reply(waiter.envelope, body, waiter.index))

    def recall(self, waiter: Request, entry: Remembered, encoding: Encoding) -> None:
        """Send a remembered reply, in the ``encoding`` of its request."""
        self._counters.recalled += 1
        self.reply(waiter, _as_asked(entry, encoding), entry.meta, encoding)

    def close(self, task: Task) -> None:
        """Let go of ``task``; nobody waits for it any more."""
        number = task.number
        task.state = _DONE
        task.route.live -= 1
        del self.live[number]
        if task.key is not None:
            del self.by_key[task.key]
        if task.slot:
            self.timetable.cancel(task)
        worker = task.worker
        if worker is not None:
            worker.tasks.pop(number, None)
            task.worker = None
        for waiter in task.waiters:
            self.quota.give_back(waiter.principal or waiter.envelope[0])
        task.waiters = []
        task.body = None

    def _leave_worker(self, task: Task) -> None:
        if task.worker is not None:
            task.worker.tasks.pop(task.number, None)
            task.worker = None


def _meta(task: Task, ran_ms: float | None) -> ReplyMeta:
    worker = task.worker
    return ReplyMeta(
        id=task.key[1] if task.key else None,
        worker=worker.label if worker else None,
        attempts=task.losses + (worker is not None),
        queued_ms=int((task.given_at - task.arrived) * 1e6 + 0.5) / 1000 if worker else None,
        ran_ms=ran_ms,
    )


def _wanted_text(task: Task, body: bytes) -> str | None:
    """Return the text that ``body`` is, if the client of ``task`` asked for just that."""
    # Who sent meta gets it back, in an envelope; so there is one client, at most.
    if not task.waiters or task.waiters[0].head.meta is not None:
        return None
    return read_text(body, task.encoding) if asks_for_text(task.body or b"") else None


def _as_asked(entry: Remembered, encoding: Encoding) -> bytes:
    """Return the reply in ``encoding``.

    It may be in the other one where nobody had asked when the broker wrote it: for a run
    that a worker brought along.
    """
    if entry.encoding is encoding:
        return entry.body
    try:
        return transcode(entry.body, encoding)
    except ProtocolError as error:
        message = f"the remembered reply cannot be written as {encoding.value}: {error}"
        return failure(TaskFailed(message), encoding)
