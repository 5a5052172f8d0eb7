"""Asking workers whether they know an id that the broker may have forgotten."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable

from vpoller_like.broker.counters import Counters
from vpoller_like.broker.dispatcher import Dispatcher
from vpoller_like.broker.events import Action, Tell
from vpoller_like.broker.routing import Directory, Route
from vpoller_like.broker.state import State
from vpoller_like.broker.task import Task, id_reused
from vpoller_like.broker.timetable import Timetable
from vpoller_like.broker.worker import Worker
from vpoller_like.errors import Busy, WorkerLost
from vpoller_like.protocol.worker import Have, Held, Possession, Result, WhoHas

#: Seconds between two looks at a task whose workers may be restarting.
RELOOK = 1.0
#: What a search that is refused is told to wait, in milliseconds.
RETRY_MS = 500
#: The share of ``max_searches`` that is kept for questions to workers that join: one part of
#: so many, however many searches there are.
FOR_JOINERS = 10


class Seek:
    """One task whose id is looked for."""

    def __init__(self, task: Task, until: float) -> None:
        self.task = task
        self.number = task.number
        #: The timetable's.
        self.slot = 0
        #: Asked workers that have not answered, by instance.
        self.pending: set[str] = set()
        #: When they have had time enough; monotonic seconds.
        self.until = until


class Joiner:
    """A worker that registered while ids were looked for, and is asked about them in turn."""

    def __init__(self, worker: Worker, last: int) -> None:
        self.worker = worker
        #: From which task on it is to be asked, and up to which. Numbers only grow, and of
        #: the later ones it is asked with all others.
        self.begin = 0
        self.last = last

    def is_due(self, task: Task) -> bool:
        """Say whether it is yet to be asked about ``task``."""
        route = task.route
        return self.begin <= task.number <= self.last and self.worker.pool.serves(
            route.method, route.hostname
        )


class Seekers:
    """Tasks in state SEEKING, until a worker knows their id or none does.

    ``patience`` is how many seconds a worker may take to answer, and ``max_searches`` bounds
    the searches and the questions that are open. Workers that register meanwhile are asked
    too, as far as there is room, and the rest at later ticks; before ``grace_until`` they are
    waited for, for they may be coming back to a new broker.
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
        max_searches: int,
        grace_until: float,
        not_found: Callable[[Task, float], None],
    ) -> None:
        self._directory = directory
        self._dispatcher = dispatcher
        self._counters = counters
        self._out = out
        self._patience = patience
        self._max_searches = max_searches
        #: Workers that were asked something and have not answered, once for each question.
        self.questions = 0
        #: The most that :attr:`load` has been.
        self.peak = 0
        self._grace_until = grace_until
        self._not_found = not_found
        self._open: dict[int, Seek] = {}
        #: Workers that are to be asked yet, by instance; who had a turn goes to the end.
        self._joiners: dict[str, Joiner] = {}
        #: When each is to be looked at again.
        self._looks: Timetable[Seek] = Timetable()

    @property
    def load(self) -> int:
        """Searches and questions that are open; a new search is let in by it."""
        return len(self._open) + self.questions

    def require_room(self, route: Route) -> None:
        """Raise ``Busy`` where too much is being looked for already."""
        asked = sum(len(pool.workers) for pool in route.pools)
        if self._open and self.load + 1 + asked > self._max_searches:
            self._counters.busy += 1
            raise Busy(
                "too many ids are being looked for that may have run before; try again later",
                retry_after_ms=RETRY_MS,
            )

    def start(self, task: Task, now: float) -> None:
        """Look for the id of ``task``."""
        task.state = State.SEEKING
        seek = Seek(task, max(now, self._grace_until) + self._patience)
        self._open[task.number] = seek
        self._dispatcher.hold(task)
        self._dispatcher.timetable.set(task, task.deadline)
        for pool in self._directory.serving(task.route.method, task.route.hostname):
            for worker in pool.workers.values():
                self._ask(seek, worker, now)
        self._settle(seek, now)

    def _ask(self, seek: Seek, worker: Worker, now: float) -> None:
        task = seek.task
        assert task.key is not None, "only a task with an id is sought"
        if worker.instance not in seek.pending:
            seek.pending.add(worker.instance)
            self.questions += 1
            self.peak = max(self.peak, self.load)
        seek.until = max(seek.until, now + self._patience)
        query = WhoHas(
            task.number, task.route.method, task.key[0], task.key[1], task.fingerprint or b""
        )
        self._out.append(Tell(worker.peer, query))

    def answered(self, worker: Worker, message: Have, now: float) -> None:
        """A worker has answered WHOHAS."""
        seek = self._open.get(message.query)
        if seek is None or worker.instance not in seek.pending:
            return
        self._answers(seek, worker)
        if message.state is Possession.OTHER:
            self._reused(seek.task, now)
        elif message.held is not None and self._is_found(seek.task, message, message.held):
            self._found(seek.task, worker, message.held, message.result, now)
        else:
            self._settle(seek, now)

    def _is_found(self, task: Task, message: Have, held: Held) -> bool:
        """Say whether ``message`` answers the question, and with a yes."""
        assert task.key is not None
        if message.state is Possession.DONE and message.result is None:
            return False
        if held.task != task.number and held.task in self._dispatcher.live:
            return False
        asked = (*task.key, task.fingerprint)
        return message.state is not Possession.NONE and asked == (
            held.principal,
            held.id,
            held.fingerprint,
        )

    def _found(
        self, task: Task, worker: Worker, held: Held, result: Result | None, now: float
    ) -> None:
        self.forget(task)
        self._counters.whohas_found += 1
        self._dispatcher.take_up(worker, task, held.task, held.attempt)
        if result is not None:
            self._dispatcher.result(task, result, now)
        worker.pool.place(worker)

    def _reused(self, task: Task, now: float) -> None:
        self.forget(task)
        assert task.key is not None
        self._dispatcher.fail(task, id_reused(task.key), now)

    def _answers(self, seek: Seek, worker: Worker) -> None:
        seek.pending.discard(worker.instance)
        self.questions -= 1

    def _give_up(self, seek: Seek) -> None:
        self.questions -= len(seek.pending)
        seek.pending.clear()

    def worker_joined(self, worker: Worker, now: float) -> None:
        """Ask a worker that has just registered, too."""
        self._joiners.pop(worker.instance, None)
        if self._open:
            self._joiners[worker.instance] = Joiner(worker, next(reversed(self._open)))
            self._ask_joiners(now)

    def _ask_joiners(self, now: float) -> None:
        """Ask workers that joined as much as there is room for, each its part."""
        if not self._joiners:
            return
        numbers = list(self._open)
        for joiner in list(self._joiners.values()):
            room = self._room_for_joiners()
            if room <= 0:
                return
            del self._joiners[joiner.worker.instance]
            if self._ask_joiner(joiner, numbers, -(-room // (len(self._joiners) + 1)), now):
                self._joiners[joiner.worker.instance] = joiner

    def _room_for_joiners(self) -> int:
        kept = max(1, self._max_searches // FOR_JOINERS) - self.questions
        return max(self._max_searches - self.load, kept)

    def _ask_joiner(self, joiner: Joiner, numbers: list[int], most: int, now: float) -> bool:
        """Ask about ``most`` of the tasks in ``numbers``; say whether there are more."""
        for place in range(bisect_left(numbers, joiner.begin), len(numbers)):
            seek = self._open[numbers[place]]
            if not most or seek.task.number > joiner.last:
                return not most and seek.task.number <= joiner.last
            if joiner.is_due(seek.task):
                most -= 1
                self._ask(seek, joiner.worker, now)
                self._look_at(seek, seek.until)
            joiner.begin = seek.task.number + 1
        return False

    def worker_left(self, worker: Worker, now: float) -> None:
        """A worker that is gone will not answer."""
        self._joiners.pop(worker.instance, None)
        for seek in list(self._open.values()):
            if worker.instance in seek.pending:
                self._answers(seek, worker)
                self._settle(seek, now)

    def tick(self, now: float) -> None:
        """Stop waiting for workers that do not answer, and ask those whose turn it is."""
        self._ask_joiners(now)
        for seek in self._looks.pop_due(now):
            if now >= seek.until:
                self._give_up(seek)
            self._settle(seek, now)

    def _settle(self, seek: Seek, now: float) -> None:
        if seek.pending:
            self._look_at(seek, seek.until)
            return
        if now < self._grace_until:
            self._look_at(seek, self._grace_until)
            return
        if any(joiner.is_due(seek.task) for joiner in self._joiners.values()):
            # It may be the one that knows; the deadline bounds the wait.
            self._look_at(seek, now + RELOOK)
            return
        route = seek.task.route
        if not route.pools and self._directory.lately_served(route.method, route.hostname, now):
            # Its workers may be restarting; the deadline bounds the wait.
            self._look_at(seek, now + RELOOK)
            return
        if seek.task.deadline < now:
            self.expire(seek.task, now)
            return
        self.forget(seek.task)
        self._counters.whohas_missing += 1
        self._not_found(seek.task, now)

    def _look_at(self, seek: Seek, when: float) -> None:
        self._looks.set(seek, when)

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
        seek = self._open.pop(task.number, None)
        if seek is not None:
            self._give_up(seek)
            self._looks.cancel(seek)
            self._dispatcher.timetable.cancel(task)
            self._dispatcher.release(task)
