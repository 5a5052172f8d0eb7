"""Tasks that never return, and how a worker ends."""

from __future__ import annotations

import json

import pytest

from tests.support.core_rig import Rig, task
from vpoller_like.protocol import worker as wire
from vpoller_like.worker import events as ev
from vpoller_like.worker.link import HELLO_EVERY


def stuck(rig: Rig) -> Rig:
    """Let task 1 run out of its time."""
    rig.give(task(1, "brief", request_id="a"))
    rig.start(1)
    rig.tick(1.0)
    return rig


def exits(rig: Rig) -> list[str]:
    return [action.reason for action in rig.actions(ev.Exit)]


def test_a_task_that_takes_too_long_is_answered_for() -> None:
    rig = Rig().join()
    rig.give(task(1, "brief"))
    rig.start(1)
    rig.tick(0.99)
    assert rig.results() == []
    assert rig.core.next_due(rig.now) == pytest.approx(rig.now + 0.01)
    rig.tick(0.01)
    (result,) = rig.only(wire.Results).items
    assert (result.task, result.attempt, result.code) == (1, 1, "task_failed")
    reply = json.loads(result.body)
    assert reply["msg"] == "brief did not finish within 1 s and was given up"
    assert reply["error"]["reason"] == "timeout"
    assert reply["error"]["timeout_ms"] == 1000


def test_the_answer_is_written_as_the_request_was() -> None:
    rig = Rig().join()
    rig.give(task(1, "brief", body=b"\x80"))
    rig.start(1)
    rig.tick(1.0)
    (result,) = rig.only(wire.Results).items
    assert result.body[0] == 0x83


def test_time_counts_from_the_start_of_the_run() -> None:
    rig = Rig(threads=1).join()
    rig.give(task(1, "brief"))
    rig.tick(5.0)
    assert rig.results() == []
    rig.start(1)
    rig.tick(0.9)
    assert rig.results() == []


def test_a_late_end_is_ignored() -> None:
    rig = stuck(Rig(threads=2).join())
    rig.finish(1)
    assert rig.results() == []


def test_a_process_with_a_stuck_task_takes_no_more_and_is_replaced() -> None:
    rig = Rig(threads=2, links=2).join()
    rig.give(task(2, "slow"))
    rig.start(2)
    stuck(rig)
    (replace,) = rig.actions(ev.Replace)
    assert replace.seconds == pytest.approx(60 - 1 + 5)
    assert [rig.sent(wire.Drain, link) for link in (0, 1)] == [[wire.Drain()], [wire.Drain()]]
    results = rig.only(wire.Results)
    assert (results.slots, results.ahead) == (0, 0)
    rig.give(task(3))
    assert rig.only(wire.Return) == wire.Return(0, 0, [wire.Attempt(3, 1)])


def test_a_stuck_process_gives_back_what_waits() -> None:
    rig = Rig(threads=1).join()
    rig.give(task(1, "brief"))
    rig.start(1)
    rig.give(task(2))
    rig.now += 1.0
    rig.tick()
    rig.recalled()
    assert rig.only(wire.Return).items == [wire.Attempt(2, 1)]


def test_a_second_stuck_task_asks_for_no_second_replacement() -> None:
    rig = Rig(threads=3).join()
    rig.give(task(5, "slow"), task(2, "brief"))
    rig.start(5, 2)
    rig.now += 0.5
    stuck(rig)
    rig.tick(0.5)
    assert rig.actions(ev.Replace) == []


def test_a_stuck_process_ends_when_its_other_tasks_are_answered() -> None:
    rig = Rig(threads=2).join()
    rig.give(task(2, "slow"))
    rig.start(2)
    stuck(rig)
    rig.ack(1)
    assert exits(rig) == []
    rig.finish(2)
    assert rig.results() == [(2, 1)]
    assert exits(rig) == []
    rig.ack(2)
    rig.welcome()
    assert exits(rig) == ["stuck"]
    assert rig.sent(wire.Bye) == [wire.Bye()]


def test_a_stuck_process_does_not_wait_for_acknowledgements_for_ever() -> None:
    rig = stuck(Rig().join())
    rig.tick(4.9)
    assert exits(rig) == []
    rig.tick(0.1)
    assert exits(rig) == ["stuck"]


def test_the_answer_for_a_stuck_task_is_remembered() -> None:
    rig = Rig(threads=2).join()
    rig.give(task(2, "slow"))
    rig.start(2)
    stuck(rig)
    rig.ack(1)
    rig.say(wire.WhoHas(1, "brief", "anna", "a", b"print"))
    have = rig.only(wire.Have)
    assert have.state is wire.Possession.DONE
    assert have.result is not None
    assert have.result.code == "task_failed"


def test_the_hello_of_a_worker_that_ends_is_said_again_in_time() -> None:
    """However seldom its broker wants to hear from it."""
    rig = Rig()
    rig.tick()
    rig.say(wire.Welcome(version=1, epoch="first", heartbeat_ms=3600_000, liveness_ms=3600_000))
    rig.run(task(1))
    rig.handle(ev.DrainRequested())
    assert rig.core.next_due(rig.now) is not None
    rig.ack(1)
    assert rig.sent(wire.Hello) != []
    assert rig.core.next_due(rig.now) == rig.now + HELLO_EVERY


def test_an_idle_worker_ends_once_its_brokers_know() -> None:
    """Tasks that they had given before they heard of it were lost on their way."""
    rig = Rig(links=2).join()
    rig.handle(ev.DrainRequested())
    for link in (0, 1):
        assert rig.sent(wire.Drain, link) == [wire.Drain()]
        hello = rig.only(wire.Hello, link)
        assert (hello.slots, hello.ahead, hello.held) == (0, 0, [])
    assert exits(rig) == []
    before = rig.sessions[0] - 1
    rig.say(wire.Tasks(before, [task(1)]))
    assert rig.out == [], "the broker takes it back when it hears HELLO"
    rig.welcome(0)
    assert rig.sent(wire.Drain, 0) == [wire.Drain()]
    assert exits(rig) == []
    rig.welcome(1)
    for link in (0, 1):
        assert rig.sent(wire.Bye, link) == [wire.Bye()]
    assert exits(rig) == ["drained"]
    assert rig.tick(10) == []
    assert rig.core.next_due(rig.now) is None


def test_a_worker_that_leaves_does_not_wait_for_a_broker_that_is_gone() -> None:
    rig = Rig(links=2).join()
    rig.handle(ev.DrainRequested())
    rig.welcome(0)
    rig.handle(ev.Unsent(1, wire.Drain()))
    assert exits(rig) == ["drained"]


def test_a_worker_that_leaves_does_not_wait_for_a_silent_broker_for_ever() -> None:
    rig = Rig().join()
    rig.handle(ev.DrainRequested())
    rig.tick(4.9)
    assert exits(rig) == []
    rig.tick(0.2)
    assert exits(rig) == ["drained"]


def test_a_draining_worker_finishes_what_runs_and_gives_back_what_waits() -> None:
    rig = Rig(threads=1).join()
    rig.give(task(1, "slow"), task(2))
    rig.start(1)
    rig.handle(ev.DrainRequested())
    rig.recalled()
    assert rig.only(wire.Return) == wire.Return(0, 0, [wire.Attempt(2, 1)])
    rig.tick(2.0)
    assert exits(rig) == []
    rig.finish(1)
    assert rig.results() == [(1, 1)]
    rig.ack(1)
    rig.welcome()
    assert exits(rig) == ["drained"]


def test_a_draining_worker_goes_on_showing_that_it_lives() -> None:
    rig = Rig(threads=1).join()
    rig.give(task(1, "slow"))
    rig.start(1)
    rig.handle(ev.DrainRequested())
    rig.tick(1.0)
    assert rig.only(wire.Heartbeat) == wire.Heartbeat(0, 0)


def test_a_worker_drains_no_longer_than_it_may() -> None:
    rig = Rig(drain_ms=3000).join()
    rig.give(task(1, "slow"))
    rig.start(1)
    rig.handle(ev.DrainRequested())
    rig.say(wire.Alive())
    rig.tick(2.9)
    assert exits(rig) == []
    rig.tick(0.2)
    assert exits(rig) == ["drained"]
    assert rig.sent(wire.Bye) == [wire.Bye()]


def test_the_second_request_ends_at_once() -> None:
    rig = Rig().join()
    rig.give(task(1, "slow"))
    rig.start(1)
    rig.handle(ev.DrainRequested())
    assert exits(rig) == []
    rig.handle(ev.DrainRequested())
    assert exits(rig) == ["forced"]


def test_a_broker_may_ask_a_worker_to_end_and_cannot_force_it() -> None:
    rig = Rig(links=2).join()
    rig.give(task(1, "slow"))
    rig.start(1)
    for link in (0, 1):
        rig.say(wire.Shutdown(), link)
        assert exits(rig) == []
    rig.finish(1)
    rig.ack(1)
    for link in (0, 1):
        rig.welcome(link)
    assert exits(rig) == ["drained"]


def test_a_broker_that_comes_back_hears_that_the_worker_drains() -> None:
    rig = Rig().join()
    rig.give(task(1, "slow", request_id="a"))
    rig.start(1)
    rig.handle(ev.DrainRequested())
    rig.now += 0.1
    rig.say(wire.Resync())
    hello = rig.only(wire.Hello)
    assert (hello.slots, hello.ahead) == (0, 0)
    rig.welcome(epoch="second")
    assert rig.sent(wire.Drain) == [wire.Drain()]


def test_a_worker_that_never_met_a_broker_ends_when_asked_to() -> None:
    rig = Rig()
    rig.tick()
    rig.handle(ev.DrainRequested())
    assert exits(rig) == ["drained"]


def test_a_task_stuck_in_a_draining_process_asks_for_no_replacement() -> None:
    rig = Rig(drain_ms=10_000).join()
    rig.give(task(1, "brief"))
    rig.start(1)
    rig.handle(ev.DrainRequested())
    rig.tick(1.0)
    assert rig.actions(ev.Replace) == []
    assert rig.results() == [(1, 1)]
    rig.ack(1)
    rig.welcome()
    assert exits(rig) == ["drained"]
