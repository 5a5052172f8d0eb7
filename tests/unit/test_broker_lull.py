"""When nobody asks, workers are heard a few times a second."""

from __future__ import annotations

from vpoller_like.broker.lull import QUIET_TICK, TICK, Lull


def test_a_lull_begins_when_nobody_has_waited_between_two_ticks() -> None:
    lull = Lull()
    lull.stir()
    assert lull.ticked() == TICK
    assert not lull.is_on
    assert lull.ticked() == QUIET_TICK
    assert lull.is_on


def test_workers_are_heard_anew_after_each_tick() -> None:
    lull = Lull()
    lull.ticked()
    assert not lull.has_heard
    lull.has_heard = True
    lull.ticked()
    assert not lull.has_heard


def test_who_waits_ends_a_lull_at_once() -> None:
    lull = Lull()
    lull.ticked()
    assert lull.is_on
    lull.stir()
    assert not lull.is_on
    assert lull.ticked() == TICK
