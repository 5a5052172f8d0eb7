"""How much a worker takes, and what it gives back."""

from __future__ import annotations

import pytest

from tests.support.core_rig import Rig, task
from vpoller_like.protocol import worker as wire
from vpoller_like.worker import events as ev


def grant(rig: Rig, link: int = 0) -> tuple[int, int]:
    """Return what the next heartbeat grants."""
    for _ in range(2):
        rig.say(wire.Alive(), link)
    rig.tick(1.0)
    beat = rig.only(wire.Heartbeat, link)
    return beat.slots, beat.ahead


@pytest.mark.parametrize(
    ("ran_us", "ahead"),
    [(10, 256), (20, 200), (100, 40), (500, 8), (1001, 2), (2001, 0), (3_000_000, 0)],
)
def test_as_many_tasks_may_wait_as_finish_within_two_milliseconds(ran_us: int, ahead: int) -> None:
    rig = Rig(threads=2).join()
    rig.run(task(1), ran_us=ran_us)
    assert rig.only(wire.Results).ahead == ahead


def test_the_slowest_method_of_the_last_second_counts() -> None:
    rig = Rig(threads=1).join()
    rig.run(task(1, "slow"), ran_us=50_000)
    rig.now += 0.9
    rig.run(task(2, "quick"), ran_us=100)
    assert rig.only(wire.Results).ahead == 0
    rig.now += 0.2
    rig.run(task(3, "quick"), ran_us=100)
    assert rig.only(wire.Results).ahead == 20


def test_the_average_moves() -> None:
    rig = Rig(threads=1).join()
    rig.run(task(1), ran_us=4000)
    for number in range(2, 50):
        rig.run(task(number), ran_us=100)
    assert rig.only(wire.Results).ahead > 10


def test_nothing_may_wait_while_a_slow_task_runs() -> None:
    rig = Rig(threads=2).join()
    rig.run(task(1))
    rig.give(task(2, "slow"))
    rig.start(2)
    rig.tick(0.004)
    assert rig.sent(wire.Heartbeat) == []
    assert rig.core.next_due(rig.now) == pytest.approx(rig.now + 0.001)
    rig.tick(0.0011)
    assert rig.only(wire.Heartbeat) == wire.Heartbeat(2, 0)


def test_a_method_that_was_not_seen_lately_grants_nothing_ahead() -> None:
    rig = Rig(threads=2).join()
    rig.run(task(1))
    assert grant(rig) == (2, 40)
    assert grant(rig) == (2, 0)


def test_what_waits_behind_a_slow_task_is_given_back() -> None:
    rig = Rig(threads=1).join()
    rig.give(task(1, "slow"), task(2), task(3, attempt=2))
    rig.start(1)
    rig.tick(0.004)
    assert rig.actions(ev.Recall) == []
    rig.tick(0.002)
    rig.recalled()
    assert rig.only(wire.Return) == wire.Return(1, 0, [wire.Attempt(2, 1), wire.Attempt(3, 2)])


def test_nothing_is_given_back_while_a_thread_is_free() -> None:
    """The loop may have been late to see that a task takes long."""
    rig = Rig(threads=2).join()
    rig.give(task(1, "slow"), task(2))
    rig.start(1)
    rig.tick(0.1)
    assert rig.actions(ev.Recall) == []
    rig.give(task(3, "slow"))
    rig.start(3)
    rig.tick(0.006)
    assert rig.actions(ev.Recall) == [ev.Recall([rig.keys[2]])]


def test_what_started_meanwhile_is_not_given_back() -> None:
    rig = Rig(threads=1).join()
    rig.give(task(1, "slow"), task(2), task(3))
    rig.start(1)
    rig.tick(0.006)
    rig.handle(ev.Recalled([rig.keys[3]]))
    assert rig.only(wire.Return).items == [wire.Attempt(3, 1)]
    rig.start(2)
    rig.finish(2)
    assert rig.results() == [(2, 1)]


def test_a_task_given_while_a_slow_one_runs_has_time_to_start() -> None:
    rig = Rig(threads=2).join()
    rig.give(task(1, "slow"))
    rig.start(1)
    rig.tick(1.0)
    rig.give(task(2))
    rig.tick(0.001)
    assert rig.actions(ev.Recall) == []


def test_quick_tasks_are_not_given_back() -> None:
    rig = Rig(threads=1).join()
    numbers = range(1, 30)
    rig.give(*(task(number) for number in numbers))
    for number in numbers:
        rig.start(number)
        rig.tick(0.001)
        assert rig.actions(ev.Recall) == []
        rig.finish(number)


def test_slots_that_another_broker_uses_are_not_granted() -> None:
    rig = Rig(threads=2, links=2).join()
    rig.give(task(1, "slow"), link=0)
    rig.start(1)
    rig.tick(0.006)
    assert rig.only(wire.Heartbeat, link=1).slots == 1
    assert rig.sent(wire.Heartbeat, link=0) == []
    rig.now += 0.1
    rig.finish(1)
    assert rig.only(wire.Results, link=0).slots == 2
    rig.tick()
    assert rig.only(wire.Heartbeat, link=1).slots == 2


def test_a_run_that_nobody_waits_for_takes_a_slot_from_all() -> None:
    rig = Rig(threads=2, links=2).join()
    rig.give(task(1, "slow"))
    rig.start(1)
    rig.say(wire.Cancel([wire.Attempt(1, 1)]))
    rig.tick(0.006)
    assert [rig.only(wire.Heartbeat, link).slots for link in (0, 1)] == [1, 1]


def test_a_grant_is_told_for_its_own_sake_two_hundred_times_a_second_at_most() -> None:
    rig = Rig(threads=1, links=2).join()
    told = 0
    for number in range(1, 50):
        rig.give(task(number, "slow"))
        rig.start(number)
        rig.tick(0.0051)
        told += len(rig.sent(wire.Heartbeat, 1))
        rig.finish(number)
        rig.tick()
        told += len(rig.sent(wire.Heartbeat, 1))
    assert told <= 50


def test_an_idle_worker_sleeps_until_the_next_heartbeat() -> None:
    rig = Rig().join()
    rig.run(task(1))
    rig.ack(1)
    rig.tick()
    due = rig.core.next_due(rig.now)
    assert due is not None
    assert due - rig.now > 0.9
