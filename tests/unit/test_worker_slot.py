"""When a worker process that died is started again."""

from __future__ import annotations

from typing import Any

import pytest

from vpoller_like.worker.slot import RESTART_LIMIT, SERVED_LIMIT, SETTLED_SECONDS, Slot


class Child:
    """A process that came up at a time, or never did."""

    def __init__(self, up_at: float | None, failure: str | None = None) -> None:
        self.up_at = up_at
        self.failure = failure


def died(slot: Slot, child: Any, now: float) -> float:
    delay = slot.died(child, now)
    assert slot.child is None
    assert not slot.is_due(now)
    assert slot.is_due(now + delay)
    return delay


def test_a_new_slot_is_filled_at_once() -> None:
    assert Slot("a/0").is_due(0.0)


def test_pauses_double_from_death_to_death_up_to_a_limit() -> None:
    slot = Slot("a/0")
    for pause in (0.2, 0.4, 0.8, 1.6):
        assert pause / 2 <= died(slot, None, 100.0) <= pause
    for _ in range(20):
        assert died(slot, Child(up_at=None), 100.1) <= RESTART_LIMIT
    assert died(slot, None, 100.0) >= RESTART_LIMIT / 2


def test_one_that_came_up_is_not_kept_away_for_long() -> None:
    slot = Slot("a/0")
    for _ in range(20):
        assert died(slot, Child(up_at=100.0), 100.1) <= SERVED_LIMIT < RESTART_LIMIT / 2
    assert died(slot, None, 100.0) >= RESTART_LIMIT / 2, "one that does not come up is"


def test_one_that_served_for_a_while_is_started_again_soon() -> None:
    slot = Slot("a/0")
    for _ in range(10):
        died(slot, None, 100.0)
    assert died(slot, Child(up_at=100.0), 100.0 + SETTLED_SECONDS) <= 0.2


def test_a_process_that_is_replaced_makes_room_at_once() -> None:
    slot = Slot("a/0")
    filling: Any = Child(up_at=1.0)
    slot.fill(filling)
    assert not slot.is_due(5.0)
    slot.vacate(5.0)
    assert slot.is_due(5.0)


def test_a_closed_slot_stays_empty() -> None:
    slot = Slot("a/0")
    died(slot, None, 1.0)
    slot.close()
    assert not slot.is_due(1e9)


@pytest.mark.parametrize("failure", [None, "no such agent"])
def test_why_the_last_one_failed_is_known(failure: str | None) -> None:
    slot = Slot("a/0")
    died(slot, Child(None, "something else"), 0.0)
    died(slot, Child(None, failure), 1.0)
    assert slot.failure == failure
