"""What is promised of giving tasks away and running them."""

# Hooks are told everything, and each looks at what it needs.
# ruff: noqa: ARG002

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.simulation import catalogue
from tests.simulation.invariant import Invariant, queued
from tests.simulation.sim_broker import BrokerLife
from tests.simulation.sim_executor import Execution
from tests.simulation.sim_worker import WorkerProcess
from vpoller_like.broker import events as ev
from vpoller_like.broker.task import Task
from vpoller_like.broker.worker import Worker
from vpoller_like.protocol import worker as wire

if TYPE_CHECKING:
    from tests.simulation.oracle import Oracle


class LivingMemoryIsAsked(Invariant):
    """What a living worker knows of an id is not run again by another broker's life.

    The worker must have known it before the request was sent, and have been registered and
    well, and the way to it open, ever since. An id that was used for two bodies names
    none; one whose try ended with the word that it may have run may run again.
    """

    def __init__(self, oracle: Oracle) -> None:
        super().__init__(oracle)
        self._greeted: dict[tuple[str, str], float] = {}

    def before(self, life: BrokerLife, event: ev.Event) -> None:
        if isinstance(event, ev.WorkerSays) and isinstance(event.message, wire.Hello):
            self._greeted[(life.name, event.message.instance)] = self.oracle.world.now

    def gave(self, life: BrokerLife, item: wire.Assignment, peer: bytes) -> None:
        if item.id is None or item.attempt != 1:
            return
        key = (item.principal, item.id)
        waiting = self.oracle.waiting_for(life, item)
        registry = self.oracle.registry
        if not (waiting and registry.is_true(key) and registry.names_one_run(key)):
            return
        since = min(asked.sent_at for asked in waiting)
        index = self.oracle.brokers.index(life.place)
        for process in (p for place in self.oracle.workers for p in place.living):
            run = process.core._ledger.runs.by_id(*key)
            if run is None or run.item.fingerprint != item.fingerprint or run.given_at >= since:
                continue
            if self._is_within_reach(life, process, index, since):
                self.fail(f"{life.name} runs {key} anew, though {process.name} knows it")

    def _is_within_reach(
        self, life: BrokerLife, process: WorkerProcess, index: int, since: float
    ) -> bool:
        worker = life.core.roster.workers.get(process.instance)
        connection = process.dealers[index].connection
        if worker is None or connection is None or connection.is_cut:
            return False
        greeted = self._greeted[(life.name, process.instance)]
        well_since = max(process.place.paths[index].well_since, process.stopped_at, greeted)
        return worker.peer == connection.peer and well_since < since


class NothingIsGivenPastItsDeadline(Invariant):
    """A task is given only while somebody still waits for it."""

    def gave(self, life: BrokerLife, item: wire.Assignment, peer: bytes) -> None:
        waiting = self.oracle.waiting_for(life, item)
        default = life.settings.default_deadline_ms
        deadlines = [
            asked.arrived_at + (default if asked.deadline_ms is None else asked.deadline_ms) / 1000
            for asked in waiting
        ]
        late = self.oracle.world.now - max(deadlines, default=float("-inf"))
        if late > 1e-6:
            self.fail(f"{life.name} gave {item.task} {late:.3f} s after its deadline")


class NobodyIsPassedOver(Invariant):
    """Of n clients that wait for the same, with equal priority, none is passed over n times;
    and nobody is, for one of a lower priority.

    What a worker gave back had its turn already, and is nobody's turn.
    """

    class Place(NamedTuple):
        method: str
        hostname: str | None
        priority: int
        share: bytes

    def __init__(self, oracle: Oracle) -> None:
        super().__init__(oracle)
        self._waiting: dict[str, dict[int, NobodyIsPassedOver.Place]] = {}
        self._passed: dict[str, dict[NobodyIsPassedOver.Place, tuple[int, int]]] = defaultdict(dict)

    def gave(self, life: BrokerLife, item: wire.Assignment, peer: bytes) -> None:
        before = self._waiting.get(life.name)
        if not before:
            return
        live = life.core.dispatcher.live
        mine = before.get(item.task)
        if mine is None and item.task in live:
            mine = self._place(live[item.task])
        if mine is None:
            return
        route = {number: place for number, place in before.items() if place[:2] == mine[:2]}
        # Those that waited before and do so still; what else there is to know of the moment
        # in between is known to the core alone.
        others = {p for n, p in route.items() if n in live and live[n].attempt == 0}
        level = {place for place in route.values() if place.priority == mine.priority} | {mine}
        before.pop(item.task, None)
        self._count(life, mine, others - {mine}, len(level), is_turn=item.attempt == 1)

    def _count(
        self, life: BrokerLife, mine: Place, others: set[Place], waiting: int, is_turn: bool
    ) -> None:
        passed = self._passed[life.name]
        passed.pop(mine, None)
        for place in sorted(others):
            if place.priority > mine.priority:
                self.fail(f"{life.name} gave {mine} before {place}")
            if place.priority == mine.priority and is_turn:
                times, most = passed.get(place, (0, 0))
                times, most = times + 1, max(most, waiting)
                passed[place] = (times, most)
                if times >= most:
                    self.fail(f"{life.name} passed {place} over {times} times of {most}")

    def after(self, life: BrokerLife, event: ev.Event) -> None:
        if not life.core.dispatcher.queued:
            if self._waiting.get(life.name):
                self._waiting[life.name] = {}
                self._passed[life.name] = {}
            return
        waiting = {task.number: self._place(task) for task in queued(life)}
        self._waiting[life.name] = waiting
        passed = self._passed[life.name]
        if passed:
            present = set(waiting.values())
            self._passed[life.name] = {p: n for p, n in passed.items() if p in present}

    def _place(self, task: Task) -> Place:
        return self.Place(task.route.method, task.route.hostname, task.priority, task.share)


class GrantsAreKept(Invariant):
    """A worker holds no more than it granted; and what must not run twice, no more than it runs."""

    def __init__(self, oracle: Oracle) -> None:
        super().__init__(oracle)
        self._given: list[tuple[bytes, wire.Assignment]] = []

    def gave(self, life: BrokerLife, item: wire.Assignment, peer: bytes) -> None:
        self._given.append((peer, item))

    def after(self, life: BrokerLife, event: ev.Event) -> None:
        given, self._given = self._given, []
        for peer, item in given:
            worker = life.core.roster._by_peer.get(peer)
            if worker is None or item.task not in worker.tasks:
                continue  # Given and taken back in one breath.
            granted = worker.slots + worker.ahead
            if len(worker.tasks) > granted:
                self.fail(f"{life.name} gave {worker.label} {len(worker.tasks)} of {granted}")
            if not catalogue.METHODS[item.method].retry_safe:
                self._check_careful(life, worker)

    def _check_careful(self, life: BrokerLife, worker: Worker) -> None:
        methods = [task.route.method for task in worker.tasks.values()]
        careful = sum(not catalogue.METHODS[method].retry_safe for method in methods)
        if careful > worker.slots:
            self.fail(f"{life.name} gave {worker.label} {careful} that must not run twice")


class RunsOnce(Invariant):
    """What is not declared safe to run twice never runs twice under one id."""

    def __init__(self, oracle: Oracle) -> None:
        super().__init__(oracle)
        self._runs: dict[Any, Execution] = {}

    def started(self, execution: Execution) -> None:
        item = execution.item
        if catalogue.METHODS[item.method].retry_safe:
            return
        name: Any = item.body
        if item.id is not None:
            name = (item.principal, item.id, item.fingerprint)
            if not self.oracle.registry.is_true((item.principal, item.id)):
                return
        before = self._runs.setdefault(name, execution)
        if before is not execution:
            self.fail(
                f"{item.method} {item.id} ran on {before.process}, then on {execution.process}"
            )
