"""When results are sent, in what packs, and for how long they are kept."""

from __future__ import annotations

import pytest

from tests.support.core_rig import Rig, task
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.limits import MAX_PACK


def test_a_result_is_sent_at_once_when_nothing_waits() -> None:
    rig = Rig().join()
    rig.run(task(1))
    assert rig.results() == [(1, 1)]


def test_results_wait_a_millisecond_for_those_about_to_come() -> None:
    rig = Rig(threads=1).join()
    rig.give(*(task(number) for number in (1, 2, 3)))
    rig.finish(1)
    assert rig.results() == []
    rig.now += 0.0005
    rig.finish(2)
    assert rig.results() == []
    rig.finish(3)
    assert rig.results() == [(1, 1), (2, 1), (3, 1)]


def test_a_result_is_not_held_behind_a_slow_task() -> None:
    rig = Rig(threads=1).join()
    rig.give(task(1), task(2, "slow"), task(3))
    rig.finish(1)
    assert rig.core.next_due(rig.now) == pytest.approx(rig.now + 0.001)
    rig.start(2)
    rig.tick(0.001)
    assert rig.results() == [(1, 1)]


def test_a_quick_result_does_not_wait_for_a_task_that_runs() -> None:
    rig = Rig(threads=2).join()
    rig.give(task(1, "slow"), task(2))
    rig.start(1, 2)
    rig.finish(2)
    assert rig.results() == [(2, 1)]


def test_a_pack_closes_when_it_is_full() -> None:
    rig = Rig().join()
    third = MAX_PACK // 3 + 1
    rig.run(*(task(number) for number in range(1, 6)), body=b"x" * third)
    packs = rig.sent(wire.Results)
    assert [len(pack.items) for pack in packs] == [2, 2, 1]
    assert [pack.seq for pack in packs] == [1, 2, 3]


def test_a_result_larger_than_a_pack_goes_alone() -> None:
    rig = Rig().join()
    rig.run(task(1), task(2), body=b"x" * (MAX_PACK + 1))
    assert [len(pack.items) for pack in rig.sent(wire.Results)] == [1, 1]


def test_an_acknowledgement_covers_all_before_it() -> None:
    rig = Rig().join()
    for number in range(1, 5):
        rig.run(task(number))
    rig.ack(3)
    rig.now += 0.1
    rig.say(wire.Resync())
    assert [item.task for item in rig.only(wire.Hello).held] == [4]


def test_an_acknowledgement_of_what_was_not_sent_is_ignored() -> None:
    rig = Rig().join()
    rig.run(task(1))
    rig.ack(2)
    rig.now += 0.1
    rig.say(wire.Resync())
    assert [item.task for item in rig.only(wire.Hello).held] == [1]


def test_results_carry_the_grant() -> None:
    rig = Rig(threads=2).join()
    rig.run(task(1), ran_us=500)
    results = rig.only(wire.Results)
    assert (results.slots, results.ahead) == (2, 8)
