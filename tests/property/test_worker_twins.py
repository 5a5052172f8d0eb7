"""The compiled worker's parts in lock step with those in Python."""

from __future__ import annotations

import enum
import logging
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_rig import task
from tests.support.cores import ROOT
from tests.support.worker_twins import BOTH, FIELDS, MOST, Steps, assert_same, said, told
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.limits import MAX_PACK
from vpoller_like.worker import compiled

pytestmark = pytest.mark.skipif(compiled.TWINS.kind != "c", reason="the compiled core is not there")

OURS, THEIRS = BOTH
NUMBERS = [0, 1, 2, 3, MOST]
#: A request is let go of sooner where it is larger than the first of these.
BODIES = [b"x" * (64 * 1024), b"x" * (64 * 1024 + 1), b"\x80", b"{}"]
#: Just within a pack, just beyond, alone and together.
REPLIES = [b"x" * size for size in (0, 1, MAX_PACK // 2, MAX_PACK - 1, MAX_PACK, MAX_PACK + 1)]
CODES = ["", "", "task_failed", "busy"]


def test_these_are_two() -> None:
    for part, name in (("run", "Run"), ("core", "Flow"), ("ledger", "Debts"), ("outbox", "Outbox")):
        ours, theirs = (getattr(getattr(side, part), name) for side in BOTH)
        assert ours is not theirs
        assert ours.__module__.endswith("_hot")
        assert not theirs.__module__.endswith("_hot")


# The parts -----------------------------------------------------------------------------

seeds = st.integers(0, 1 << 32)


def test_records_look_the_same_and_are_compared_alike() -> None:
    seen = []
    for side in BOTH:
        run, other = (side.run.Run(3, task(MOST, body=BODIES[2]), [], 2.0) for _ in range(2))
        log: list[Any] = [repr(run), run.encoding, run == other, hash(run) == hash(other)]
        # All of each but one field is the same.
        for kind, fields in (
            (side.run.Debt, [1, 2, 3]),
            (side.run.Finished, [1, "", 2, b"x"]),
            (side.grant.Grant, [1, 2]),
        ):
            records = [kind(*fields), kind(**dict(zip(FIELDS[kind.__name__], fields, strict=True)))]
            for place, change in enumerate([7, "busy" if fields[1] == "" else 7, 7, b"y"]):
                if place < len(fields):
                    records.append(kind(*fields[:place], change, *fields[place + 1 :]))
            log.append([[one == two for one in records] for two in records])
            log.append([repr(records), hash(records[0]) == hash(records[1]), records[0] == 1])
            log.append(said(setattr, records[0], FIELDS[kind.__name__][0], 7))
        pack = side.outbox.Pack(1, [], [], 0)
        log += [repr(pack), pack == side.outbox.Pack(1, [], [], 0), said(hash, pack)]
        log.append(pack == side.outbox.Pack(1, [], [], 2))
        seen.append(log)
    assert seen[0] == seen[1]


class RunsSteps(Steps):
    def begin(self) -> None:
        self.runs, self.all = self.side.runs.Runs(), []
        self.add()

    def add(self) -> Any:
        dice = self.dice
        item = task(dice.choice(NUMBERS), request_id=dice.choice([None, "a", "b"]))
        run = self.runs.add(dice.randrange(2), item, dice.random() < 0.5, self.now)
        self.all.append(run)
        return run

    def change(self) -> Any:
        """What the core does to a run."""
        run = self.dice.choice(self.all)
        run.slow, run.deadline = not run.slow, self.dice.choice([None, 0.0, 5.0])
        return run.shed()

    def step(self) -> Any:
        dice, runs, run = self.dice, self.runs, self.dice.choice(self.all)
        link, number = dice.randrange(2), dice.choice(NUMBERS)
        debt = self.side.run.Debt(link, number, dice.choice([1, 1, 1 << 20]))
        return self.take_turns(
            self.add,
            self.change,
            lambda: runs.by_task(link, number),
            lambda: runs.by_id("anna", dice.choice([None, "a", "b"])),
            lambda: runs.owe(run, debt),
            lambda: runs.release(run, dice.choice([debt, *run.debts])),
            lambda: runs.start(run.key, dice.choice([0.0, self.now])),
            lambda: runs.finish(run.key),
            lambda: runs.give_up(run),
            lambda: runs.withdraw(run.key),
            lambda: runs.settle(run) if dice.random() < 0.3 else runs.forget(run),
            lambda: [run.debt_to(link), run.own_debt(link), run.held_for(number, 1)],
        )

    def state(self) -> Any:
        runs = self.runs
        where = [runs.waiting, runs.running, runs.stuck, dict(runs.numbers), runs._by_id]
        found = [runs.owed_to(0), runs.owed_to(1), runs.slow(), runs.occupied, runs.unfinished]
        return told([self.all, *where, *found])


@given(seeds)
def test_runs_are_found_alike(seed: int) -> None:
    assert_same(RunsSteps, seed, 40)


class OutboxSteps(Steps):
    def begin(self) -> None:
        self.outbox = self.side.outbox.Outbox()

    def add(self) -> Any:
        number, body = self.dice.choice(NUMBERS), self.dice.choice(REPLIES)
        run = self.side.run.Run(self.dice.randrange(9), task(number), [], 0.0)
        return self.outbox.add(run, wire.Result(number, 1, "", 1, body), self.now)

    def step(self) -> Any:
        self.now += self.dice.random()
        outbox, dice = self.outbox, self.dice
        number = dice.randrange(2)
        return self.take_turns(
            self.add,
            lambda: [self.add() for _ in range(4)],
            outbox.take_packs,
            lambda: outbox.acknowledge(dice.choice([-1, 0, 1, 2, 3, 9, MOST])),
            lambda: outbox.rewind(self.now) if dice.random() < 0.5 else None,
            lambda: outbox.discard(lambda run: run.key % 3 == number),
            lambda: outbox.discard(lambda run: 1 / (run.key % 3)),
        )

    def state(self) -> Any:
        return told([list(self.outbox), bool(self.outbox), self.outbox.since])


@given(seeds)
def test_outboxes_make_the_same_packs(seed: int) -> None:
    assert_same(OutboxSteps, seed, 40)


#: At the bounds of what is brief, of the shortest, and of what lets tasks wait.
SECONDS = [-1.0, 0.0, 5e-7, 1e-6, 0.000031, 0.0001, 0.0002, 0.0003, 0.002, 0.0021, 2.0, 9e15]


class PaceSteps(Steps):
    """Methods that are noted, and what may be given for that and for what runs."""

    def begin(self) -> None:
        self.pace, self.runs = self.side.pace.Pace(), self.side.runs.Runs()

    def note(self) -> None:
        self.pace.note(self.dice.choice("abc"), self.dice.choice(SECONDS), self.now)

    def run(self) -> None:
        dice = self.dice
        run = self.runs.add(dice.randrange(2), task(dice.randrange(9)), False, self.now)
        self.runs.start(run.key, self.now)
        run.slow = dice.random() < 0.3
        if dice.random() < 0.2:
            self.runs.give_up(run)

    def settle(self) -> None:
        for runs in (self.runs.running, self.runs.stuck):
            if runs:
                runs.pop(self.dice.choice(list(runs)))

    def step(self) -> Any:
        self.now += self.dice.choice([0.0, 0.0, 0.25, 1.0, 1.25])
        return self.take_turns(self.note, self.note, self.run, self.settle)

    def state(self) -> Any:
        briefs = [self.pace.is_brief(method) for method in "abcd"]
        ask = self.side.grant.grant_to
        grants = [
            ask(link, threads, self.runs, self.pace, self.now)
            for link in (0, 1)
            for threads in (1, 2, 256)
        ]
        shares = [(grant.slots, grant.ahead) for grant in grants]
        return [briefs, self.pace.slowest(self.now), shares]


@given(seeds)
def test_the_same_may_be_given_at_the_same_pace(seed: int) -> None:
    assert_same(PaceSteps, seed, 60)


def test_the_same_is_news() -> None:
    shares = [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    for one in shares:
        for two in shares:
            news = [
                side.grant.is_news(side.grant.Grant(*one), side.grant.Grant(*two)) for side in BOTH
            ]
            assert news == [one[0] != two[0] or bool(one[1]) != bool(two[1])] * 2
    same = OURS.grant.Grant(1, 2)
    assert not OURS.grant.is_news(same, same)


class LinkSteps(Steps):
    """How things stand with a broker that says what the dice say."""

    def begin(self) -> None:
        self.stand = self.side.link.Link(1, 0.3)

    def tell(self) -> Any:
        share = (self.dice.randrange(3), self.dice.choice([0, 0, 1, 64]))
        return self.stand.tell(self.side.grant.Grant(*share), self.now)

    def hear(self) -> None:
        self.stand.heard_at = self.now

    def welcome(self) -> Any:
        beat, liveness = self.dice.choice([(1, 3), (1000, 3000), (3_600_000, 3_600_000)])
        return self.stand.welcome(
            wire.Welcome(
                version=1,
                epoch=self.dice.choice("ab"),
                heartbeat_ms=beat,
                liveness_ms=liveness,
                max_reply=self.dice.choice([0, MOST]),
            ),
            self.now,
        )

    def step(self) -> Any:
        self.now += self.dice.choice([0.0, 0.001, 0.1, 1.1])
        stand, now = self.stand, self.now
        return self.take_turns(
            self.tell,
            self.hear,
            self.welcome,
            lambda: stand.greet(now),
            lambda: stand.greet_again(now),
            lambda: stand.turned_away(now),
            lambda: stand.unreachable(now),
            lambda: stand.beat(now),
        )

    def state(self) -> Any:
        stand, now = self.stand, self.now
        seen = [stand.index, stand.session, stand.welcomed, stand.max_reply, stand.heard_at]
        due = [stand.next_due(), stand.next_tell, stand.may_tell(now), stand.beat_due(now)]
        told_last = stand.told and [stand.told.slots, stand.told.ahead]
        return [*seen, *due, stand.hello_due(now), told_last, stand.outbox.since]


@given(seeds)
def test_things_stand_alike_with_a_broker(seed: int) -> None:
    assert_same(LinkSteps, seed, 60)


class LedgerSteps(Steps):
    def begin(self) -> None:
        self.outboxes = [self.side.outbox.Outbox() for _ in range(2)]
        self.memory = self.side.memory.Memory(5.0, 3000, 3)
        self.ledger = self.side.ledger.Ledger(self.outboxes, self.memory)
        self.packs: list[tuple[int, int]] = []

    def item(self) -> wire.Assignment:
        dice = self.dice
        name, body = dice.choice([None, None, "a", "b", "c"]), dice.choice(BODIES)
        mark = dice.choice([b"one", b"one", b"two"])
        return task(dice.choice(NUMBERS), "quick", dice.randint(1, 3), name, mark, body)

    def is_brief(self, method: str) -> bool:
        if self.dice.random() < 0.05:
            raise LookupError(method)
        return self.dice.random() < 0.5

    def conclude(self) -> None:
        runs = self.ledger.runs
        for key in list(runs.waiting)[: self.dice.randrange(3)]:
            runs.start(key, self.now)
        if runs.running:
            run = runs.finish(self.dice.choice(list(runs.running)))
            body = self.dice.choice([b"{}", b"x" * 1500])
            outcome = self.side.run.Finished(run.key, self.dice.choice(CODES), MOST, body)
            self.ledger.conclude(run, outcome, self.now)

    def settle_one(self) -> None:
        run = self.ledger.runs.add(0, task(1, request_id="a"), False, self.now)
        self.ledger.conclude(run, self.side.run.Finished(run.key, "", 1, b""), self.now)
        self.outboxes[0].take_packs()
        self.ledger.acknowledge(0, 1, self.now)
        assert len(self.memory) == 1

    def send(self) -> Any:
        link = self.dice.randrange(2)
        packs = self.outboxes[link].take_packs()
        self.packs += [(link, pack.seq) for pack in packs]
        return packs

    def acknowledge(self) -> None:
        link, seq = self.dice.choice([*self.packs, (self.dice.randrange(2), MOST)])
        self.ledger.acknowledge(link, seq, self.now)

    def step(self) -> Any:
        self.now += self.dice.choice([0.0, 0.1, 2.0])
        ledger, dice = self.ledger, self.dice
        link, attempt = dice.randrange(2), wire.Attempt(dice.choice(NUMBERS), dice.randint(1, 3))
        ways: list[Callable[[], Any]] = [
            lambda: ledger.take(link, [self.item() for _ in range(3)], self.is_brief, self.now),
            self.conclude,
            self.send,
            self.acknowledge,
            lambda: ledger.cancel(link, attempt),
            lambda: ledger.answer(link, wire.WhoHas(1, "quick", "anna", dice.choice("ab"), b"one")),
            lambda: [ledger.expire(self.now), ledger.take_unwanted()],
            lambda: self.outboxes[link].rewind(self.now),
            lambda: ledger.disown(link, self.now) if dice.random() < 0.3 else None,
        ]
        return self.take_turns(*ways[:4], *ways)

    def state(self) -> Any:
        ledger, runs = self.ledger, self.ledger.runs
        where = [runs.waiting, runs.running, runs._by_id, dict(runs.numbers), ledger.unwanted]
        kept = [list(self.memory._entries), self.memory.bytes]
        return told([*where, kept, *map(list, self.outboxes), ledger.held(0), ledger.held(1)])


@given(seeds)
def test_ledgers_owe_the_same(seed: int) -> None:
    assert_same(LedgerSteps, seed, 60)


def test_a_ledger_needs_no_core_before_it() -> None:
    """It looks up what it remembers itself: others of this process have had that done."""
    alone = (
        "from tests.property.test_worker_twins import BOTH, LedgerSteps\n"
        "for side in BOTH: LedgerSteps(side, 1).settle_one()"
    )
    subprocess.run([sys.executable, "-c", alone], cwd=ROOT, check=True, timeout=60)


class Code(enum.StrEnum):
    """What an agent may have as its errors' codes."""

    OWN = "own"


class ExecutorSteps(Steps):
    """An executor whose host and clock do as the dice say; it is also its host's outcome."""

    def begin(self) -> None:
        self.executor = self.side.executor.Executor(self, 2, 77, self.clock)
        self.keys, self.code, self.body, self.depth = 0, "", b"", 0

    def clock(self) -> float:
        self.now += self.dice.choice([0.0, 1e-7, 1.9e-6, 0.3, -0.5])
        return (
            self.now
            if self.dice.random() < 0.98
            else self.dice.choice([float("inf"), float("nan")])
        )

    def execute(self, body: bytes, most: int) -> Any:
        assert most == 77
        # Other threads do something meanwhile.
        if self.depth < 2 and self.dice.random() < 0.5:
            self.depth += 1
            self.meanwhile = [self.step() for _ in range(3)]
            self.depth -= 1
        error = self.dice.choice([None, None, None, SystemExit(3), LookupError("planted")])
        if error is not None:
            raise error
        self.code = self.dice.choice(["", "busy", Code.OWN])
        self.body = self.dice.choice([b"{}", body, bytearray(b"{}")])
        return self

    def submit(self) -> None:
        runs = []
        for _ in range(self.dice.randrange(4)):
            self.keys += 1
            body = self.dice.choice([b"{}", b"\x80"])
            runs.append(self.side.run.Run(self.keys, task(self.keys, body=body), [], 0.0))
        self.executor.submit(runs)

    def work(self) -> Any:
        executor, place = self.executor, self.executor.take_place()
        run = executor.next()
        if place is None or run is None:
            return [place, run]
        try:
            return executor.run(place, run)
        finally:
            executor.leave_place(place)

    def step(self) -> Any:
        keys = [self.dice.randrange(1, self.keys + 2) for _ in range(3)]
        ways = [self.submit, self.work, self.work, self.executor.progress, self.executor.next]
        return self.take_turns(*ways, lambda: self.executor.take_back(keys))

    def state(self) -> Any:
        seen = [self.executor.is_ready, self.executor.occupied, self.code, self.body]
        return told([*seen, getattr(self, "meanwhile", None)])


@given(seeds)
def test_executors_report_the_same(seed: int) -> None:
    logging.disable()
    try:
        assert_same(ExecutorSteps, seed, 60)
    finally:
        logging.disable(logging.NOTSET)
