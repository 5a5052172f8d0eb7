"""When the broker hears its workers once a tick, and when at once."""

from __future__ import annotations

from vpoller_like.broker.lull import QUIET_TICK, TICK, Lull


def test_a_lull_begins_when_nobody_has_waited_between_two_ticks() -> None:
    lull = Lull()
    lull.look(idle=False)
    assert lull.ticked() == TICK
    assert not lull.wants_workers
    assert not lull.leaves_workers
    lull.look(idle=True)
    assert lull.ticked() == QUIET_TICK
    assert lull.wants_workers


def test_workers_are_heard_to_the_end_once_a_tick() -> None:
    lull = Lull()
    lull.ticked()
    assert lull.wants_workers
    lull.heard(everything=False)
    assert lull.wants_workers
    lull.heard(everything=True)
    assert lull.leaves_workers
    lull.ticked()
    assert lull.wants_workers


def test_who_waits_ends_a_lull_at_once() -> None:
    lull = Lull()
    lull.ticked()
    lull.heard(everything=True)
    lull.look(idle=False)
    assert not lull.leaves_workers
    assert not lull.wants_workers
    assert lull.ticked() == TICK
