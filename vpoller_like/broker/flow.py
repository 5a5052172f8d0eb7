"""The way of a task that nothing goes wrong with: taken in, given, answered.

Each request goes through here, and through little else of the broker.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.counters import Counters
from vpoller_like.broker.events import Action, Give, Reply, Request, Share
from vpoller_like.broker.figures import REMEMBERED, WAITING_BYTES
from vpoller_like.broker.memory import Memory, Remembered
from vpoller_like.broker.quota import Quota
from vpoller_like.broker.routing import Pool, Route
from vpoller_like.broker.state import DONE, QUEUED, RUNNING
from vpoller_like.broker.task import Key, Task
from vpoller_like.broker.timetable import Timetable
from vpoller_like.broker.worker import Worker
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import Busy, TaskFailed
from vpoller_like.protocol.batch import is_whole
from vpoller_like.protocol.encoding import Encoding, encoding_of
from vpoller_like.protocol.reply import ReplyMeta, failure, is_envelope, with_meta
from vpoller_like.protocol.worker import Assignment, Result

_NO_KEY: tuple[str, None] = ("", None)


@compiled
class Flow(ABC):
    """Owns every task that is not answered yet. What becomes of the others is a subclass's."""

    def __init__(
        self, settings: BrokerSettings, memory: Memory, counters: Counters, out: list[Action]
    ) -> None:
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

    # Accepting --------------------------------------------------------------------------

    def open(self, task: Task) -> None:
        """Take charge of ``task``, for which nobody waits or who is on its account.

        Raises ``Busy`` where that one has as many requests under way as it may.
        """
        if task.waiters and not self.quota.take(task.share):
            raise self.over_quota(task.route)
        self.live[task.number] = task
        task.route.live += 1
        if task.key is not None:
            self.by_key[task.key] = task

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

    def require_room(self, route: Route, share: Share, size: int) -> None:
        """Raise ``Busy`` where no task of ``size`` bytes may wait on account of ``share``."""
        if route.queue.size >= self._queue_length:
            raise self.queue_is_full(route)
        if not self.quota.has_room(share, size + WAITING_BYTES):
            raise self.no_bytes_left(route)

    # Queueing ---------------------------------------------------------------------------

    def enqueue(self, task: Task, front: bool = False) -> None:
        """Let ``task`` wait for a worker, until its deadline."""
        task.state = QUEUED
        task.worker = None
        queue = task.route.queue
        if front:
            queue.push_front(task)
        else:
            queue.push(task)
        size = len(task.body or b"")
        self.queued += 1
        self.queued_bytes += size
        self.quota.hold(task.share, WAITING_BYTES + size)
        if queue.size > self.longest_queue:
            self.longest_queue = queue.size
        self.timetable.set(task, task.deadline)

    def left_queue(self, task: Task) -> None:
        """A ``task`` that waited is in its queue no more."""
        size = len(task.body or b"")
        self.queued -= 1
        self.queued_bytes -= size
        self.quota.release(task.share, WAITING_BYTES + size)
        self.timetable.cancel(task)

    # Giving -----------------------------------------------------------------------------

    def serve(self, pool: Pool, now: float) -> None:
        """Give what waits to the workers of ``pool`` that have room, routes in turn."""
        while (route := pool.next_waiting()) is not None:
            if not route.queue.size:
                route.ready_again(pool)
                continue
            worker = pool.find(route.method, route.pace)
            assert worker is not None, "a route is named only where there is room for it"
            self._give_next(worker, route, now)
            # Where no other one waits it is its turn again.
            alone = len(pool.quick) + len(pool.careful) == 1
            while alone and route.queue.size:
                worker = pool.find(route.method, route.pace)
                if worker is None:
                    break
                self._give_next(worker, route, now)

    def serve_route(self, route: Route, now: float) -> None:
        """Give what waits for ``route`` to whoever has room."""
        while route.queue.size and (worker := route.find()) is not None:
            self._give_next(worker, route, now)

    def _give_next(self, worker: Worker, route: Route, now: float) -> None:
        task = route.queue.pop(now)
        self.left_queue(task)
        if task.deadline < now:
            self.too_late(task, now)
        else:
            self.give(worker, task, now)

    def give(self, worker: Worker, task: Task, now: float) -> None:
        """Give ``task`` to ``worker``, which has room."""
        task.state = RUNNING
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

    # Ending -----------------------------------------------------------------------------

    def results(self, worker: Worker, items: Sequence[Result], now: float) -> None:
        """Take in what ``worker`` has done; what it does not hold any more is too late."""
        held = worker.tasks
        for item in items:
            task = held.get(item.task)
            if task is None or task.attempt != item.attempt:
                self._counters.late_results += 1
                continue
            worker.done += 1
            self.result(task, item, now)

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
            self.finish(task, item.code, body, now, item.ran_us)
        else:
            self.without_envelope(task, item, now)

    def finish(
        self, task: Task, code: str, body: bytes, now: float, ran_us: int | None = None
    ) -> None:
        """Answer all who wait for ``task`` with ``body``, and remember it where it counts."""
        meta = None
        if task.key is not None and code in REMEMBERED:
            meta = _meta(task, ran_us)
            self.remember(task, body, meta, now)
        for waiter in task.waiters:
            if waiter.head.meta is None and waiter.index is None:
                self._counters.replies += 1
                self._out.append(Reply(waiter.envelope, body))
                continue
            if meta is None and waiter.head.meta is not None:
                meta = _meta(task, ran_us)
            self.reply(waiter, body, meta, task.encoding)
        self.close(task)

    def remember(self, task: Task, body: bytes, meta: ReplyMeta | None, now: float) -> None:
        """Remember what ``task``, which has an id, is answered with."""
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

    def close(self, task: Task) -> None:
        """Let go of ``task``; nobody waits for it any more."""
        number = task.number
        task.state = DONE
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

    # What is not the usual way ---------------------------------------------------------

    @abstractmethod
    def over_quota(self, route: Route) -> Busy:
        """Return what is said to who has as many requests under way as he may."""

    @abstractmethod
    def queue_is_full(self, route: Route) -> Busy:
        """Return what is said to whom no more may wait for ``route``."""

    @abstractmethod
    def no_bytes_left(self, route: Route) -> Busy:
        """Return what is said to who may not have so much wait."""

    @abstractmethod
    def too_late(self, task: Task, now: float) -> None:
        """``task``, which waited, is past its deadline."""

    @abstractmethod
    def is_too_large(self, task: Task, body: bytes, now: float) -> bool:
        """Say whether the reply ``body`` is too large to be sent, and answer so if it is."""

    @abstractmethod
    def without_envelope(self, task: Task, item: Result, now: float) -> None:
        """The worker has answered with what does not look like a reply."""


def _meta(task: Task, ran_us: int | None) -> ReplyMeta:
    worker = task.worker
    return ReplyMeta(
        id=task.key[1] if task.key else None,
        worker=worker.label if worker else None,
        attempts=task.losses + (worker is not None),
        queued_ms=max(0, int((task.given_at - task.arrived) * 1e6 + 0.5)) / 1000
        if worker
        else None,
        ran_ms=None if ran_us is None else ran_us / 1000,
    )
