"""The compiled worker in lock step with the one in Python, as a whole; and what it refuses."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from operator import setitem
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.core_rig import OFFER, task
from tests.support.worker_twins import BOTH, MOST, Steps, assert_same, said, told
from vpoller_like.config import WorkerSettings
from vpoller_like.protocol import worker as wire
from vpoller_like.transport.poll import Poll
from vpoller_like.transport.port import Port
from vpoller_like.worker import compiled
from vpoller_like.worker.turn import Turn

pytestmark = pytest.mark.skipif(compiled.TWINS.kind != "c", reason="the compiled core is not there")

BACKENDS = ["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"]
WELCOME = wire.Welcome(
    version=1, epoch="first", heartbeat_ms=1000, liveness_ms=3000, max_reply=200_000
)
#: Where a fault is planted: both call these at the same moments.
HOOKS = [
    (lambda core: core._ledger, "_is_new"),
    (lambda core: core._links[1], "next_due"),
    (lambda core: core._departure, "next_due"),
    (lambda core: core._timeouts, "of"),
    (lambda core: core._links[0], "tell"),
    (lambda core: core, "_return"),
    (lambda core: core, "_depart"),
]


class Course(Steps):
    """A core with two brokers and two threads, which all do as the dice say."""

    def begin(self) -> None:
        self.core = new_core(self.side)
        self.sessions, self.numbers = [0, 0], 0
        self.waiting: list[int] = []
        self.running: list[int] = []
        self.unanswered: list[tuple[int, int]] = []
        self.done: list[Any] = []
        self.feed(self.side.events.Tick())
        for link in range(2):
            self.feed(self.says(link, WELCOME))

    def says(self, link: int, message: Any) -> Any:
        return self.side.events.Received(link, message)

    def step(self) -> Any:
        ways: list[Callable[[], Any]] = [self.give, self.start, self.finish, self.time]
        often = [*ways * 6, *[self.acknowledge] * 4, *[self.talk] * 2]
        event = self.dice.choice([*often, self.trouble])()
        self.done = []
        broken = self.plant_a_fault() if self.dice.random() < 0.05 else None
        ended = said(self.feed, event)
        if broken is not None:
            del vars(broken[0])[broken[1]]
        return [ended, self.done]

    def plant_a_fault(self) -> tuple[Any, str]:
        find, name = self.dice.choice(HOOKS)
        place = find(self.core)

        def fail(*_: object) -> None:
            raise LookupError("planted")

        vars(place)[name] = fail
        return place, name

    def feed(self, event: Any) -> None:
        actions = self.core.handle(event, self.now)
        self.done.append([[type(action).__name__, told(action)] for action in actions])
        for action in actions:
            self.perform(type(action).__name__, action)

    def perform(self, kind: str, action: Any) -> None:
        if kind == "Submit":
            self.waiting += [run.key for run in action.runs]
        elif kind == "Recall":
            back = [key for key in self.waiting if key in action.keys]
            self.waiting = [key for key in self.waiting if key not in back]
            self.feed(self.side.events.Recalled(back))
        elif kind == "Send" and isinstance(action.message, wire.Hello):
            self.sessions[action.link] = action.message.session
        elif kind == "Send" and isinstance(action.message, wire.Results):
            self.unanswered.append((action.link, action.message.seq))

    # What happens

    def give(self) -> Any:
        link, items = self.dice.randrange(2), [self.item() for _ in range(self.dice.randint(1, 4))]
        session = self.sessions[link] - (self.dice.random() < 0.05)
        return self.says(link, wire.Tasks(session, items))

    def item(self) -> wire.Assignment:
        dice = self.dice
        if self.numbers and dice.random() < 0.2:
            number, attempt = dice.choice([MOST, dice.randint(1, self.numbers)]), dice.randint(1, 3)
        else:
            self.numbers += 1
            number, attempt = self.numbers, 1
        name, mark = dice.choice([None, None, None, "a", "b"]), dice.choice([b"one", b"two"])
        method = dice.choices(["quick", "slow", "brief", "unknown"], [10, 5, 1, 1])[0]
        body = b"x" * 70_000 if dice.random() < 0.05 else b"{}"
        return task(number, method, attempt, name, mark, body)

    def start(self) -> Any:
        started = self.waiting[: self.dice.randint(1, 2)] if len(self.running) < 2 else []
        self.waiting = self.waiting[len(started) :]
        self.running += started
        seen = [key for key in started if self.dice.random() < 0.8]
        events = self.side.events
        return events.Progress([events.Started(key, self.now) for key in seen], [])

    def finish(self) -> Any:
        dice, finished = self.dice, []
        for _ in range(dice.randint(1, 2)):
            if self.running:
                key = self.running.pop(dice.randrange(len(self.running)))
                code = dice.choice(["", "", "task_failed", "busy"])
                body = b"x" * dice.choices([2, 1500, 150_000, 250_000], [20, 4, 1, 1])[0]
                ran_us = dice.choice([0, 30, 100, 500, 3000])
                finished.append(self.side.run.Finished(key, code, ran_us, body))
        return self.side.events.Progress([], finished)

    def time(self) -> Any:
        self.now += self.dice.choice([0.0, 0.0003, 0.001, 0.003, 0.003, 0.005, 0.01, 0.3, 1.1])
        return self.side.events.Tick()

    def acknowledge(self) -> Any:
        foreign = (self.dice.randrange(2), self.dice.choice([0, 1, MOST]))
        link, seq = self.unanswered.pop(0) if self.unanswered else foreign
        return self.says(link, wire.Ack(seq))

    def talk(self) -> Any:
        dice = self.dice
        attempt = wire.Attempt(dice.randint(1, self.numbers + 1), dice.randint(1, 2))
        messages: Iterable[wire.FromBroker] = [
            *[WELCOME] * 4,
            msgspec.structs.replace(WELCOME, epoch="second"),
            wire.Alive(),
            wire.Resync(),
            wire.Refused("no"),
            wire.Cancel([attempt]),
            wire.WhoHas(MOST, "quick", "anna", dice.choice("ab"), b"one"),
            wire.Ack(dice.choice([0, 1, 9, MOST])),
        ]
        return self.says(dice.randrange(2), dice.choice([*messages]))

    def trouble(self) -> Any:
        events, link = self.side.events, self.dice.randrange(2)
        troubles = [events.Unsent(link, wire.Heartbeat(1, 1)), self.says(2, wire.Alive())]
        troubles += [self.says(link, wire.Heartbeat(1, 1)), events.Recalled([MOST]), object()]
        if self.dice.random() < 0.1:
            troubles += [events.DrainRequested(), events.RetireRequested()]
            troubles += [self.says(link, wire.Shutdown())] * 2
        return self.dice.choice(troubles)

    # What can be seen

    def state(self) -> Any:
        core = self.core
        runs, memory = core._runs, core._ledger.memory
        where = [runs.waiting, runs.running, runs.stuck, dict(runs.numbers), runs._by_id]
        seen = [core._links_due, core.next_due(self.now), core._links_due, core._exited, core._out]
        seen += [core._ledger.unwanted, memory.bytes, list(memory._entries)]
        for link in core._links:
            seen += [list(link.outbox), link.outbox.since, link.told.slots, link.told.ahead]
        return told([*where, *seen])


def new_core(side: Any) -> Any:
    chosen = WorkerSettings(
        backends=BACKENDS, threads=2, remember_ms=2000, remember_bytes=4000, remember_count=3
    )
    return side.core.WorkerCore(chosen, side.core.Identity("node/0", "0123456789", 42), [OFFER])


@settings(max_examples=60)
@given(st.integers(0, 1 << 32))
def test_cores_do_the_same_with_faults_in_between(seed: int) -> None:
    assert_same(Course, seed, 120)


# Misuse --------------------------------------------------------------------------------

OURS, THEIRS = BOTH
KINDS = [OURS.run.Debt, OURS.run.Finished, OURS.run.Run, OURS.outbox.Pack, OURS.runs.Runs]
KINDS += [OURS.outbox.Outbox, OURS.pace.Pace, OURS.executor.Executor, OURS.ledger.Debts]
KINDS += [OURS.core.Flow, OURS.ledger.Ledger, OURS.core.WorkerCore, OURS.memory.Memory]
KINDS += [OURS.alarm.Alarm, OURS.baton.Baton, OURS.leader.Leader, OURS.link.Standing]
KINDS += [OURS.grant.Grant, Turn, Port, Poll]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_what_was_never_begun_raises_at_the_most(kind: Any) -> None:
    """Whatever it is asked or told: nothing in there is yet what it is taken for."""
    odd = [None, -1, 1 << 70, float("nan"), "x", b"x", [], [None], {}, object()]
    odd += [made_of.__new__(made_of) for made_of in (OURS.run.Run, OURS.run.Debt, OURS.runs.Runs)]
    for name in {*dir(kind)} - {"__class__", "__init_subclass__", "__subclasshook__", "__new__"}:
        for thing in odd:
            made = kind.__new__(kind)
            said(setattr, made, name, thing)
            said(repr, made)
            for arguments in range(5):
                said(ask, kind.__new__(kind), name, *[thing] * arguments)


def ask(made: Any, name: str, *arguments: Any) -> Any:
    return getattr(made, name)(*arguments)


def given_a_run(runs: Any) -> Any:
    return runs.add(0, task(1), False, 0.0)


def conclude(core: Any) -> None:
    core._ledger.conclude(given_a_run(core._runs), OURS.run.Finished(1, "", 1, b""), 1.0)


ACK = OURS.events.Received(0, wire.Ack(3))
GIVEN = OURS.events.Received(0, wire.Tasks(1, [task(1)]))
MISUSES: list[Callable[[Any], Any]] = [
    lambda core: [setitem(core._ledger._outboxes, 0, 5), core.handle(ACK, 1.0)],
    lambda core: [setitem(core._ledger._outboxes, 1, 5), core.handle(ACK, 1.0)],
    lambda core: [setitem(core._ledger._outboxes, 0, None), core.next_due(1.0)],
    lambda core: [setitem(core._ledger._outboxes, 1, 5), core._ledger.acknowledge(1, 1, 1.0)],
    lambda core: [setitem(core._ledger._outboxes, 0, 5), conclude(core)],
    lambda core: [setitem(core._runs.numbers, 0, 5), core.handle(GIVEN, 1.0)],
    lambda core: [setitem(core._runs.running, 1, 5), core.next_due(1.0)],
    lambda core: [setitem(core._runs.running, 1, 5), core._runs.slow()],
    lambda core: core._runs.settle(given_a_run(THEIRS.runs.Runs())),
    lambda core: setattr(given_a_run(core._runs), "item", task(2)),
    lambda core: core._links[0].outbox.add(None, wire.Result(1, 1, "", 1, b""), 1.0),
    lambda core: core._ledger.conclude(given_a_run(core._runs), None, 1.0),
    lambda core: OURS.ledger.Ledger([None], core._ledger.memory).acknowledge(0, 1, 1.0),
    lambda core: OURS.ledger.Debts([THEIRS.outbox.Outbox()], core._ledger.memory),
]


@pytest.mark.parametrize("misuse", MISUSES)
def test_what_is_not_what_it_is_taken_for_is_refused(misuse: Callable[[Any], Any]) -> None:
    core = new_core(OURS)
    core.handle(OURS.events.Tick(), 1.0)
    core._links[0].welcomed = True
    given_a_run(core._runs)
    with pytest.raises((TypeError, AttributeError)):
        misuse(core)


def test_a_core_that_is_begun_anew_while_it_asks_keeps_what_it_works_with() -> None:
    core = new_core(OURS)
    core.handle(OURS.events.Tick(), 1.0)
    ledger = weakref.ref(core._ledger)
    there = []

    def begin_anew(*_: object) -> bool:
        core.__init__(WorkerSettings(backends=BACKENDS), OURS.core.Identity("n", "i", 1), [OFFER])
        there.append(ledger() is not None)
        return True

    vars(core._ledger)["_is_new"] = begin_anew
    tasks = wire.Tasks(1, [task(number, request_id="a") for number in range(9)])
    core.handle(OURS.events.Received(0, tasks), 1.0)
    # The first one is new without a question.
    assert there == [True] * 8
