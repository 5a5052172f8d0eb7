"""Whatever happens in whatever order, the core keeps its promises."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import msgspec

from tests.support.core_rig import Rig, task
from vpoller_like.protocol import worker as wire
from vpoller_like.worker import events as ev

LINKS = 2
THREADS = 2
SEEDS = 150
STEPS = 150
WELCOME = wire.Welcome(version=1, epoch="first", heartbeat_ms=1000, liveness_ms=3000)
LOST = msgspec.structs.replace(WELCOME, epoch="second")


class Chaos:
    """Brokers, threads and a network that do as the dice say; checks all that comes out."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.rig = Rig(threads=THREADS, links=LINKS)
        self.queue: list[int] = []
        self.running: list[int] = []
        self.numbers = 0
        self.given: set[tuple[int, int]] = set()
        self.unanswered: list[tuple[int, wire.Results]] = []
        self.trace: list[str] = []
        self.seen: Counter[str] = Counter()
        self.feed(ev.Tick())
        for link in range(LINKS):
            self.say(link, WELCOME)

    # The core's surroundings -----------------------------------------------------------

    def feed(self, event: ev.Event) -> None:
        due = self.rig.core.next_due(self.rig.now)
        assert due is None or self.rig.now <= due <= self._due_anew()
        for action in self.rig.handle(event):
            # As it is now: a run changes later.
            self.trace.append(repr(action))
            self._perform(action)

    def _due_anew(self) -> float:
        """Return when a Tick is due to a core that remembers nothing of that."""
        self.rig.core._links_due = None
        due = self.rig.core.next_due(self.rig.now)
        assert due is not None
        return due

    def say(self, link: int, message: wire.FromBroker) -> None:
        self.feed(ev.Received(link, message))

    def _perform(self, action: ev.Action) -> None:
        self.seen[type(action).__name__] += 1
        if isinstance(action, ev.Submit):
            self.queue.extend(run.key for run in action.runs)
        elif isinstance(action, ev.Recall):
            back = [key for key in self.queue if key in action.keys]
            self.queue = [key for key in self.queue if key not in back]
            self.feed(ev.Recalled(back))
        elif isinstance(action, ev.Send):
            self._hear(action.link, action.message)

    def _hear(self, link: int, message: wire.FromWorker) -> None:
        self.seen[type(message).__name__] += 1
        assert wire.decode_from_worker(list(wire.encode(message))) == message
        if isinstance(message, wire.Results | wire.Return):
            assert message.items
            assert {(item.task, item.attempt) for item in message.items} <= self.given
        if isinstance(message, wire.Results):
            self.unanswered.append((link, message))
        if isinstance(message, wire.Hello):
            self.unanswered = [entry for entry in self.unanswered if entry[0] != link]

    # What may happen -------------------------------------------------------------------

    def step(self) -> None:
        link = self.dice.randrange(LINKS)
        happening = self.dice.choices(
            [self._give, self._pass, self._start, self._finish, self._ack, self._talk, self._fail],
            [6, 6, 8, 8, 4, 2, 0.3],
        )[0]
        happening(link)

    def _give(self, link: int) -> None:
        items = [self._task() for _ in range(self.dice.randint(1, 4))]
        self.given |= {(item.task, item.attempt) for item in items}
        self.say(link, wire.Tasks(self.rig.sessions[link], items))

    def _task(self) -> wire.Assignment:
        if self.numbers and self.dice.random() < 0.2:
            number, attempt = self.dice.randint(1, self.numbers), self.dice.randint(1, 3)
        else:
            self.numbers += 1
            number, attempt = self.numbers, 1
        name = self.dice.choice([None, None, None, "a", "b", "c", "d"])
        method = self.dice.choices(["quick", "slow", "brief"], [10, 5, 0.3])[0]
        return task(number, method, attempt, name, self.dice.choice([b"one", b"one", b"two"]))

    def _pass(self, _: int) -> None:
        self.rig.now += self.dice.choice([0.0, 0.0003, 0.001, 0.003, 0.003, 0.01, 0.01, 0.3, 1.1])
        self.feed(ev.Tick())

    def _start(self, _: int) -> None:
        if self.queue and len(self.running) < THREADS:
            key = self.queue.pop(0)
            self.running.append(key)
            if self.dice.random() < 0.8:  # Else it is over before anybody looks.
                self.feed(ev.Progress([ev.Started(key, self.rig.now)], []))

    def _finish(self, _: int) -> None:
        if self.running:
            key = self.running.pop(self.dice.randrange(len(self.running)))
            code = self.dice.choice(["", "", "", "task_failed", "busy"])
            self.feed(ev.Progress([], [ev.Finished(key, code, 100, b"{}")]))

    def _ack(self, _: int) -> None:
        if self.unanswered:
            link, results = self.unanswered.pop(0)
            self.say(link, wire.Ack(results.seq))

    def _talk(self, link: int) -> None:
        attempt = wire.Attempt(self.dice.randint(1, self.numbers + 1), self.dice.randint(1, 2))
        name = self.dice.choice("abcd")
        messages: list[wire.FromBroker] = [
            WELCOME,
            WELCOME,
            WELCOME,
            LOST,
            wire.Alive(),
            wire.Resync(),
            wire.Cancel([attempt]),
            wire.WhoHas(1, "quick", "anna", name, b"one"),
            wire.Ack(self.dice.randint(0, 9)),
        ]
        self.say(link, self.dice.choice(messages))

    def _fail(self, link: int) -> None:
        self.feed(ev.Unsent(link, wire.Heartbeat(1, 1)))

    def come_to_rest(self) -> None:
        """Let every run end, and let brokers that live acknowledge everything."""
        while self.queue or self.running:
            self._start(0)
            self._finish(0)
        for _ in range(3):
            self.rig.now += 4.0
            self.feed(ev.Tick())
            for link in range(LINKS):
                self.say(link, WELCOME)
            while self.unanswered:
                self._ack(0)
        self.rig.now += 61.0
        self.feed(ev.Tick())


def played(seed: int) -> Chaos:
    chaos = Chaos(seed)
    for _ in range(STEPS):
        chaos.step()
    chaos.come_to_rest()
    return chaos


def left_behind(chaos: Chaos) -> dict[str, Any]:
    """Return all that the core still knows of any task."""
    ledger = chaos.rig.core._ledger
    known = {
        "waiting": ledger.runs.waiting,
        "running": ledger.runs.running,
        "numbers": [list(known) for known in ledger.runs.numbers.values() if known],
        "ids": ledger.runs._by_id,
        "unacknowledged": ledger.unacknowledged,
        "remembered": len(ledger.memory),
        "bytes": ledger.memory.bytes,
        "unwanted": ledger.take_unwanted(),
    }
    return {name: value for name, value in known.items() if value}


def test_nothing_is_said_of_tasks_never_given_and_nothing_is_left_at_rest() -> None:
    seen: Counter[str] = Counter()
    ended = 0
    for seed in range(SEEDS):
        chaos = played(seed)
        seen += chaos.seen
        if chaos.seen["Exit"]:
            ended += 1  # What a stuck process leaves behind goes with it.
        else:
            assert left_behind(chaos) == {}, f"seed {seed}"
    # The dice have brought about all that they are there for.
    assert 0 < ended < SEEDS / 2
    for what in ("Submit", "Recall", "Replace", "Hello", "Results", "Heartbeat", "Return", "Have"):
        assert seen[what] > 50 or (what == "Replace" and seen[what]), (what, seen)


def test_the_same_events_give_the_same_actions() -> None:
    for seed in range(20):
        assert played(seed).trace == played(seed).trace
