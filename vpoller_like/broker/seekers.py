"""Asking workers whether they know an id that the broker may have forgotten."""

from __future__ import annotations

from collections.abc import Callable

from vpoller_like.broker.counters import Counters
from vpoller_like.broker.dispatcher import Dispatcher
from vpoller_like.broker.events import Action, Tell
from vpoller_like.broker.routing import Directory
from vpoller_like.broker.task import State, Task
from vpoller_like.broker.worker import Worker
from vpoller_like.errors import IdReused, WorkerLost
from vpoller_like.protocol.worker import Have, Possession, WhoHas


class Seek:
    """One task whose id is looked for."""

    def __init__(self, task: Task, until: float) -> None:
        self.task = task
        #: Asked workers that have not answered, by instance.
        self.pending: set[str] = set()
        self.until = until


class Seekers:
    """Tasks in state SEEKING, until a worker knows their id or none does.

    ``patience`` is how many seconds a worker may take to answer; workers that register
    before ``grace_until`` are asked too, for they may be coming back to a new broker.
    ``not_found`` decides what becomes of a task whose id nobody knows.
    """

    def __init__(
        self,
        directory: Directory,
        dispatcher: Dispatcher,
        counters: Counters,
        out: list[Action],
        *,
        patience: float,
        grace_until: float,
        not_found: Callable[[Task, float], None],
    ) -> None:
        self._directory = directory
        self._dispatcher = dispatcher
        self._counters = counters
        self._out = out
        self._patience = patience
        self._grace_until = grace_until
        self._not_found = not_found
        self._open: dict[int, Seek] = {}

    def start(self, task: Task, now: float) -> None:
        """Look for the id of ``task``."""
        task.state = State.SEEKING
        seek = Seek(task, max(now, self._grace_until) + self._patience)
        self._open[task.number] = seek
        self._dispatcher.timetable.set(task.number, task, task.deadline)
        for pool in self._directory.serving(task.route.method, task.route.hostname):
            for worker in pool.workers.values():
                self._ask(seek, worker)
        self._settle(seek, now)

    def _ask(self, seek: Seek, worker: Worker) -> None:
        task = seek.task
        assert task.key is not None, "only a task with an id is sought"
        seek.pending.add(worker.instance)
        query = WhoHas(
            task.number, task.route.method, task.key[0], task.key[1], task.fingerprint or b""
        )
        self._out.append(Tell(worker.peer, query))

    def answered(self, worker: Worker, message: Have, now: float) -> None:
        """A worker has answered WHOHAS."""
        seek = self._open.get(message.query)
        if seek is None or worker.instance not in seek.pending:
            return
        seek.pending.discard(worker.instance)
        if message.state is Possession.OTHER:
            self._reused(seek.task, now)
        elif message.held is not None and message.state is not Possession.NONE:
            self._found(seek.task, worker, message, now)
        else:
            self._settle(seek, now)

    def _found(self, task: Task, worker: Worker, message: Have, now: float) -> None:
        held = message.held
        assert held is not None
        assert task.key is not None
        ours = held.task in self._dispatcher.live and held.task != task.number
        if ours or (held.principal, held.id, held.fingerprint) != (*task.key, task.fingerprint):
            return  # Not an answer to the question; patience decides.
        self.forget(task)
        self._counters.whohas_found += 1
        self._dispatcher.take_up(worker, task, held.task, held.attempt)
        if message.result is not None:
            self._dispatcher.result(task, message.result, now)

    def _reused(self, task: Task, now: float) -> None:
        self.forget(task)
        self._dispatcher.fail(task, id_reused(task), now)

    def worker_joined(self, worker: Worker) -> None:
        """Ask a worker that has just registered, too."""
        for seek in self._open.values():
            if worker.pool.serves(seek.task.route.method, seek.task.route.hostname):
                self._ask(seek, worker)

    def worker_left(self, worker: Worker, now: float) -> None:
        """A worker that is gone will not answer."""
        for seek in list(self._open.values()):
            if worker.instance in seek.pending:
                seek.pending.discard(worker.instance)
                self._settle(seek, now)

    def tick(self, now: float) -> None:
        """Stop waiting for workers that do not answer."""
        for seek in list(self._open.values()):
            if now >= seek.until:
                seek.pending.clear()
            self._settle(seek, now)

    def _settle(self, seek: Seek, now: float) -> None:
        if seek.pending or now < self._grace_until:
            return
        route = seek.task.route
        if not route.pools and self._directory.lately_served(route.method, route.hostname, now):
            return  # Its workers may be restarting; the deadline bounds the wait.
        self.forget(seek.task)
        self._counters.whohas_missing += 1
        self._not_found(seek.task, now)

    def expire(self, task: Task, now: float) -> None:
        """The deadline of a task has passed before it was known what became of its id."""
        self.forget(task)
        message = (
            f"no worker of {task.route.method} could say in time what became of this id; "
            "it may have run"
        )
        self._dispatcher.fail(task, WorkerLost(message), now)

    def forget(self, task: Task) -> None:
        """Look no further for the id of ``task``."""
        self._open.pop(task.number, None)


def id_reused(task: Task) -> IdReused:
    """Return the error for a second body under one id."""
    name = task.key[1] if task.key else ""
    return IdReused(f"meta.id {name!r} was used for another request; give each one its own id")
