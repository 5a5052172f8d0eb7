"""Who may touch the loop, and what wakes the thread that stands in."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from vpoller_like.worker.alarm import NEVER, Alarm
from vpoller_like.worker.baton import Baton
from vpoller_like.worker.figures import LEASE, RARE

PATIENCE = 10.0


class Bell(Alarm):
    """An alarm that the test rings. ``sets`` are the seconds it was set to, each time."""

    def __init__(self) -> None:
        super().__init__()
        self.sets: list[float] = []
        self.waits = 0
        self._rings = threading.Semaphore(0)

    def set(self, seconds: float) -> None:
        self.sets.append(seconds)

    def wait(self) -> None:
        self.waits += 1
        assert self._rings.acquire(timeout=PATIENCE)

    def ring(self) -> None:
        self._rings.release()


class Relay:
    """A baton that the test holds, and a thread that stands in. ``now`` is set by the test."""

    def __init__(self) -> None:
        self.now = 100.0
        self.bell = Bell()
        self.baton = Baton(lambda: self.now, self.bell)
        assert self.baton.take_up()
        self.bell.sets.clear()
        self.taken = threading.Event()
        self.thread = threading.Thread(target=self._stand_in)
        self.thread.start()
        self.until(lambda: self.bell.waits == 1)

    def _stand_in(self) -> None:
        if self.baton.stand_in():
            self.taken.set()

    def ring(self) -> None:
        """Ring, and wait until the one who stands in has dealt with that."""
        waits = self.bell.waits
        self.bell.ring()
        self.until(lambda: self.bell.waits > waits or self.taken.is_set())

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.001)


@pytest.fixture
def relay() -> Iterator[Relay]:
    relay = Relay()
    yield relay
    relay.baton.end()
    relay.bell.ring()
    relay.thread.join(PATIENCE)
    assert not relay.thread.is_alive()


def test_what_is_laid_down_can_be_taken_up_again(relay: Relay) -> None:
    relay.baton.lay_down()
    assert not relay.baton.is_taken()
    assert relay.baton.take_up()
    assert relay.baton.is_taken()
    assert not relay.baton.take_up()


def test_nobody_takes_what_is_held(relay: Relay) -> None:
    relay.now += 10
    relay.ring()
    assert not relay.taken.is_set()


def test_nobody_takes_over_within_the_lease(relay: Relay) -> None:
    relay.baton.lay_down()
    relay.now += LEASE / 2
    relay.ring()
    assert not relay.taken.is_set()
    assert relay.baton.take_up()


def test_after_the_lease_the_one_who_stands_in_takes_over(relay: Relay) -> None:
    relay.baton.lay_down()
    relay.now += LEASE
    relay.ring()
    assert relay.taken.is_set()
    assert relay.baton.is_taken()
    assert not relay.baton.take_up()


def test_what_is_offered_is_taken_at_once(relay: Relay) -> None:
    relay.baton.offer()
    assert relay.bell.sets == [0.0]
    relay.ring()
    assert relay.taken.is_set()


def test_the_alarm_is_set_once_in_a_lease_at_most(relay: Relay) -> None:
    for _ in range(10):
        relay.baton.lay_down()
        assert relay.baton.take_up()
        relay.now += LEASE / 8
    assert relay.bell.sets == [2 * LEASE, 2 * LEASE]


def test_where_tasks_are_rare_the_alarm_wakes_nobody(relay: Relay) -> None:
    for _ in range(2):
        relay.now += RARE + LEASE
        relay.baton.lay_down()
        assert relay.baton.take_up()
    assert relay.bell.sets == [RARE, NEVER, RARE, NEVER]


def test_of_rare_tasks_one_that_outlasts_the_lease_is_taken_over_from(relay: Relay) -> None:
    relay.now += RARE + LEASE
    relay.baton.lay_down()
    assert relay.bell.sets == [RARE]
    relay.now += RARE
    relay.ring()
    assert relay.taken.is_set()
    assert not relay.baton.take_up()
    assert relay.bell.sets == [RARE], "it may be the other one's by now"


def test_an_alarm_that_found_the_baton_held_is_set_again(relay: Relay) -> None:
    """It had rung between two tasks, and nobody woke for the second one."""
    relay.baton.lay_down()
    assert relay.baton.take_up()
    relay.ring()
    relay.baton.lay_down()
    assert relay.bell.sets == [2 * LEASE, 2 * LEASE]


def test_an_alarm_that_found_the_baton_laid_down_anew_is_set_again(relay: Relay) -> None:
    relay.baton.lay_down()
    relay.ring()
    assert relay.bell.sets == [2 * LEASE, LEASE]
    relay.now += LEASE
    relay.ring()
    assert relay.taken.is_set()


def test_an_alarm_rings_in_time_and_not_before() -> None:
    alarm = Alarm()
    began = time.monotonic()
    alarm.set(5.0)
    alarm.set(0.01)
    alarm.wait()
    assert 0.01 <= time.monotonic() - began < 5.0
    alarm.set(0.0)
    alarm.wait()
    assert time.monotonic() - began < 5.0


def test_an_alarm_that_is_switched_off_does_not_ring() -> None:
    alarm = Alarm()
    began = time.monotonic()
    alarm.set(0.01)
    alarm.set(NEVER)
    ringer = threading.Timer(0.1, alarm.set, [0.0])
    ringer.start()
    alarm.wait()
    assert time.monotonic() - began >= 0.1
    ringer.join()
