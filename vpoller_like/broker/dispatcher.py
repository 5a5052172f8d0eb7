"""Where tasks wait, to whom they are given, and how they end."""

from __future__ import annotations

from vpoller_like.broker.counters import Counters
from vpoller_like.broker.events import Action, Request
from vpoller_like.broker.figures import WAITING_BYTES
from vpoller_like.broker.flow import Flow
from vpoller_like.broker.memory import Memory, Remembered
from vpoller_like.broker.routing import Route
from vpoller_like.broker.state import State
from vpoller_like.broker.task import Task
from vpoller_like.broker.worker import Worker
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import (
    Busy,
    DeadlineExceeded,
    ProtocolError,
    RequestError,
    TaskFailed,
    TooLarge,
    WorkerLost,
)
from vpoller_like.protocol.encoding import Encoding, transcode
from vpoller_like.protocol.reply import (
    enveloped,
    failure,
    read_text,
)
from vpoller_like.protocol.request import asks_for_text
from vpoller_like.protocol.worker import Result

#: What ``retry_after_ms`` says at least and at most; between them, the time in which half of
#: the queue will be gone.
MIN_RETRY_MS = 100
MAX_RETRY_MS = 5000


class Dispatcher(Flow):
    """Knows all ways on which a task may go."""

    def __init__(
        self, settings: BrokerSettings, memory: Memory, counters: Counters, out: list[Action]
    ) -> None:
        super().__init__(settings, memory, counters, out)
        self._settings = settings

    # Accepting -------------------------------------------------------------------------

    def join(self, task: Task, waiter: Request) -> None:
        """One more client waits for ``task``; raises ``Busy`` as :meth:`open` does."""
        if not self.quota.take(waiter.share):
            raise self.over_quota(task.route)
        task.waiters.append(waiter.without_body())

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

    def over_quota(self, route: Route) -> Busy:
        """Return what is said to who has as many requests under way as he may."""
        self._counters.busy += 1
        return Busy(
            f"{self.quota.max_requests} of your requests are not answered yet, and more are not "
            "taken; wait for some of them",
            retry_after_ms=self._retry_after_ms(route),
        )

    def queue_is_full(self, route: Route) -> Busy:
        """Return what is said to whom no more may wait for ``route``."""
        return self._busy(route, f"{route.queue.size} of at most {self._queue_length}")

    def no_bytes_left(self, route: Route) -> Busy:
        """Return what is said to who may not have so much wait."""
        return self._busy(
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

    def hold(self, task: Task) -> None:
        """``task`` waits, and costs memory for so long."""
        self.quota.hold(task.share, WAITING_BYTES + len(task.body or b""))

    def release(self, task: Task) -> None:
        """``task`` waits no more."""
        self.quota.release(task.share, WAITING_BYTES + len(task.body or b""))

    def dequeue(self, task: Task) -> None:
        """Take a waiting ``task`` out of its queue."""
        task.route.queue.remove(task)
        self.left_queue(task)

    def extend_deadline(self, task: Task, deadline: float) -> None:
        """Somebody else waits for ``task`` too, until ``deadline``."""
        if deadline > task.deadline:
            task.deadline = deadline
            if task.state in (State.QUEUED, State.SEEKING):
                self.timetable.set(task, deadline)
            elif task.state is State.PLAIN:
                self.timetable.set(task, self.plain_due(task))

    def plain_due(self, task: Task) -> float:
        """Return until when the answer of the plain worker to ``task`` is waited for."""
        return min(task.deadline, task.given_at + self._settings.plain_timeout_ms / 1000)

    # Giving ----------------------------------------------------------------------------

    def take_up(self, worker: Worker, task: Task, number: int, attempt: int) -> None:
        """``worker`` runs ``task`` already, under its own ``number`` and ``attempt``."""
        if task.state is State.QUEUED:
            self.dequeue(task)
        self.timetable.cancel(task)
        self.live.pop(task.number, None)
        task.number = number
        task.attempt = attempt
        task.state = State.RUNNING
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

    def without_envelope(self, task: Task, item: Result, now: float) -> None:
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
            self.finish(task, item.code, body, now, item.ran_us)

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
        self.too_late(task, now)

    def too_late(self, task: Task, now: float) -> None:
        self._counters.expired += 1
        waited = int((now - task.arrived) * 1000)
        message = f"no worker had room for {task.route.method} within {waited} ms; {task.fate}"
        self.fail(task, DeadlineExceeded(message, waited_ms=waited), now)

    def finish_bare(self, task: Task, body: bytes, now: float) -> None:
        """Answer all who wait for ``task`` with ``body`` to the letter, without ``meta``."""
        if task.key is not None:
            self.remember(task, body, None, now)
        for waiter in task.waiters:
            self.reply(waiter, body, None, task.encoding)
        self.close(task)

    def recall(self, waiter: Request, entry: Remembered, encoding: Encoding) -> None:
        """Send a remembered reply, in the ``encoding`` of its request."""
        self._counters.recalled += 1
        self.reply(waiter, _as_asked(entry, encoding), entry.meta, encoding)

    def _leave_worker(self, task: Task) -> None:
        if task.worker is not None:
            task.worker.tasks.pop(task.number, None)
            task.worker = None


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
