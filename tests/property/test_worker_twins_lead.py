"""Who leads the compiled worker's loop, in lock step with who does so in Python."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core_rig import task
from tests.support.worker_twins import BOTH, Steps, assert_same, said
from vpoller_like.worker import compiled

pytestmark = pytest.mark.skipif(compiled.TWINS.kind != "c", reason="the compiled core is not there")

seeds = st.integers(0, 1 << 32)

#: Amid and beside the lease.
PAUSES = [0.0, 0.0, 0.0001, 0.0005, 0.001, 0.002, 0.0021, 5.0, -0.001]


class Timed(Steps):
    """Goes by a clock that moves with each look, and fails at times."""

    def clock(self) -> float:
        if self.dice.random() < 0.03:
            raise LookupError("planted")
        self.now += self.dice.choice(PAUSES)
        return self.now


class BatonSteps(Timed):
    """A baton that one thread plays with as if it were several; it is also its alarm."""

    def begin(self) -> None:
        self.sets: list[float] = []
        self.waits, self.stands = 0, False
        self.baton: Any = None
        while self.baton is None:
            said(self._make)

    def _make(self) -> None:
        self.baton = self.side.baton.Baton(self.clock, self)

    def set(self, seconds: float) -> None:
        if self.dice.random() < 0.02:
            raise LookupError("planted")
        self.sets.append(seconds)

    def wait(self) -> None:
        """Other threads do something meanwhile."""
        self.waits += 1
        for _ in range(self.dice.randrange(4)):
            self.step()
        if self.dice.random() < 0.1:
            self.baton.end()

    def stand_in(self) -> Any:
        if self.stands:
            return None
        self.stands = True
        try:
            return self.baton.stand_in()
        finally:
            self.stands = False

    def step(self) -> Any:
        baton = self.baton
        often = [baton.lay_down, baton.lay_down, baton.offer, baton.take_up, baton.take_up]
        return self.take_turns(*often, self.stand_in)

    def state(self) -> Any:
        return [self.baton.is_taken(), self.sets, self.waits, self.now]


@given(seeds)
def test_a_baton_goes_to_the_same_hands(seed: int) -> None:
    assert_same(BatonSteps, seed, 40)


class LeaderSteps(Timed):
    """A leader whose loop, host and fellow thread do as the dice say; it is all of these."""

    code, body = "", b"{}"

    def begin(self) -> None:
        steps = self

        class Crew(self.side.leader.Leader):  # type: ignore[name-defined, misc]
            def _hire_if_needed(self) -> None:
                steps.note("hire")

        self.log: list[Any] = []
        self.keys = 0
        self.leader: Any = None
        self.executor = self.side.executor.Executor(self, 2, 77, lambda: self.now)
        while self.leader is None:
            said(lambda: setattr(self, "leader", Crew(self, self.executor, self.wake, self.clock)))
        self.executor.take_place()

    def note(self, what: Any) -> None:
        self.log.append(what)
        if self.dice.random() < 0.02:
            raise LookupError("planted")

    def wake(self) -> None:
        self.note("wake")

    def settle(self) -> bool:
        self.note("settle")
        return self.dice.random() < 0.8

    def listen(self) -> None:
        self.note("listen")
        self.submit()

    def execute(self, body: bytes, most: int) -> Any:
        self.log.append((body, most))
        self.now += self.dice.choice([0.0, 0.0001, 0.0006, 0.002])
        if self.dice.random() < 0.2:
            self.submit()
        if self.dice.random() < 0.3:
            # The one who stands in leads on.
            self.leader._baton.take_up()
        return self

    def submit(self) -> None:
        runs = []
        for _ in range(self.dice.randrange(4)):
            self.keys += 1
            brief = self.dice.random() < 0.8
            body = b"%d" % self.keys
            runs.append(self.side.run.Run(self.keys, task(self.keys, body=body), [], 0.0, brief))
        self.executor.submit(runs)

    def places(self) -> Any:
        """Another thread takes the place that there is, or leaves one."""
        place = self.executor.take_place()
        if place is None:
            self.executor.leave_place(self.dice.randrange(2))
        return place

    def step(self) -> Any:
        if not self.leader._baton.is_taken():
            self.log.append(said(self.leader._baton.take_up))
        ways: list[Callable[[], Any]] = [self.leader._lead, self.leader._work, self.submit]
        return self.take_turns(*ways * 4, self.places)

    def state(self) -> Any:
        reported = said(self.executor.progress)
        seen = [self.leader._baton.is_taken(), self.executor.is_ready, self.executor.occupied]
        return [*seen, self.log, reported, self.now]


@given(seeds)
def test_the_loop_is_led_alike(seed: int) -> None:
    assert_same(LeaderSteps, seed, 40)


#: What cannot be told apart by a kernel that counts on meanwhile is left out.
LENGTHS = [0.0, 1e-12, -1.0, 0.002, 3.5, 1000.25, 86_400.0, 1e9, float("inf"), float("nan")]


def test_alarms_are_set_alike() -> None:
    seen = []
    for side in BOTH:
        before = timers()
        alarm = side.alarm.Alarm()
        (there,) = timers() - before
        log: list[Any] = []
        for seconds in [*LENGTHS, -float("inf")]:
            log.append([type(said(alarm.set, seconds)), round(left(there), 1)])
            time.sleep(0.001)
        alarm.set(0.0)
        log.append(alarm.wait())
        del alarm
        assert there not in timers()
        seen.append(log)
    assert seen[0] == seen[1]


def timers() -> set[str]:
    """Return the descriptors of this process's timers."""
    return {name for name in os.listdir("/proc/self/fd") if _is_timer(f"/proc/self/fd/{name}")}


def _is_timer(path: str) -> bool:
    return os.path.exists(path) and "timerfd" in os.readlink(path)


def left(descriptor: str) -> float:
    """Return the seconds until a timer rings; zero where it does not."""
    with open(f"/proc/self/fdinfo/{descriptor}", encoding="ascii") as about:
        (line,) = [line for line in about if line.startswith("it_value")]
    seconds, nanoseconds = line.partition("(")[2].rstrip(")\n").split(",")
    return int(seconds) + int(nanoseconds) / 1e9
