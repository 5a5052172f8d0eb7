"""Waiting: fair, by priority, in order, bounded, and not beyond a deadline."""

from __future__ import annotations

import pytest

from tests.support.core import Player, Stage, offer, request_body, safe
from tests.support.cores import pure_only
from vpoller_like.broker.figures import WAITING_BYTES


def served_order(player: Player) -> list[str]:
    """Let ``player`` answer one by one; return the tags in the order it was given them."""
    order = []
    while player.inbox:
        body = player.inbox[0].body.decode()
        order.append(body.partition('"tag":"')[2].partition('"')[0])
        player.done()
    return order


def test_one_connection_with_many_requests_holds_up_no_other() -> None:
    stage = Stage()
    player = Player(stage, slots=0)
    for number in range(5):
        stage.ask(client=b"greedy", tag=f"g{number}")
    stage.ask(client=b"modest", tag="m0")
    stage.ask(client=b"other", tag="o0")
    player.heartbeat(slots=1)
    assert served_order(player) == ["g0", "m0", "o0", "g1", "g2", "g3", "g4"]


def test_of_one_connection_the_first_comes_first() -> None:
    stage = Stage()
    player = Player(stage, slots=0)
    for number in range(5):
        stage.ask(tag=str(number))
    player.heartbeat(slots=1)
    assert served_order(player) == list("01234")


def test_a_higher_priority_comes_first() -> None:
    stage = Stage()
    player = Player(stage, slots=0)
    for tag, priority in (("low", 0), ("high", 9), ("middle", 4), ("high2", 9)):
        stage.ask(client=tag.encode(), tag=tag, meta={"priority": priority})
    player.heartbeat(slots=1)
    assert served_order(player) == ["high", "high2", "middle", "low"]


def test_methods_that_wait_for_the_same_workers_take_turns() -> None:
    stage = Stage()
    player = Player(stage, offer("a", "b"), slots=0)
    for method in "aaabbb":
        stage.ask(method, tag=method)
    player.heartbeat(slots=1)
    assert "".join(served_order(player)) in ("ababab", "bababa")


def test_what_came_too_late_is_not_its_clients_turn() -> None:
    stage = Stage()
    player = Player(stage, slots=0)
    stage.ask(client=b"1", tag="late", meta={"deadline_ms": 10})
    stage.ask(client=b"1", tag="next")
    stage.ask(client=b"2", tag="other")
    stage.now += 0.015  # No tick has come that would have seen it.
    player.heartbeat(slots=1)
    assert served_order(player) == ["next", "other"]


def test_a_client_whose_returned_task_is_gone_has_no_second_turn_for_it() -> None:
    stage = Stage()
    player = Player(stage, slots=0)
    for tag, deadline in (("returned", 100), ("second", 4000)):
        stage.ask(client=b"1", tag=tag, meta={"deadline_ms": deadline})
    stage.ask(client=b"2", tag="other")
    player.heartbeat(slots=1)
    player.give_back(player.take(), slots=0)
    stage.pass_time(0.2)
    assert stage.error(b"1")["code"] == "deadline"
    player.heartbeat(slots=1)
    assert served_order(player) == ["other", "second"]


# Deadlines -----------------------------------------------------------------------------


def test_a_request_that_waits_past_its_deadline_is_told_and_not_run() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask(client=b"1")
    stage.ask(client=b"2", meta={"deadline_ms": 500})
    stage.pass_time(0.45, alive=[player])
    assert not stage.answers(b"2")
    stage.pass_time(0.15, alive=[player])
    error = stage.error(b"2")
    assert error["code"] == "deadline"
    assert error["retryable"]
    assert error["waited_ms"] >= 500
    assert "not run" in error["msg"]
    player.done()
    assert not player.inbox


def test_without_a_deadline_of_its_own_a_request_waits_as_long_as_the_setting_says() -> None:
    stage = Stage(default_deadline_ms=1000)
    player = Player(stage, slots=0)
    stage.ask()
    stage.pass_time(0.95, alive=[player])
    assert not stage.replies
    stage.pass_time(0.15, alive=[player])
    assert stage.error()["code"] == "deadline"


def test_a_running_task_is_not_bound_by_the_deadline() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask(meta={"deadline_ms": 100})
    stage.pass_time(5, alive=[player])
    assert not stage.replies
    player.done()
    assert stage.answer()["success"] == 0


def test_a_deadline_of_nothing_is_met_by_a_worker_that_is_free() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask(meta={"deadline_ms": 0})
    player.done()
    assert stage.answer()["success"] == 0


def test_nothing_is_given_past_its_deadline_between_two_ticks() -> None:
    stage = Stage()
    player = Player(stage, slots=0)
    stage.ask(client=b"1", meta={"deadline_ms": 10})
    stage.ask(client=b"2")
    stage.now += 0.02
    player.heartbeat(slots=1)
    assert len(player.inbox) == 1
    assert stage.error(b"1")["code"] == "deadline"
    player.done()
    assert stage.answer(b"2")["success"] == 0


def test_a_task_given_back_past_its_deadline_is_not_given_again() -> None:
    stage = Stage()
    one = Player(stage, name="1")
    two = Player(stage, name="2", slots=0)
    stage.ask(meta={"deadline_ms": 1000})
    task = one.take()
    stage.pass_time(2, alive=[one, two])
    two.heartbeat(slots=1)
    one.give_back(task, slots=0)
    assert not two.inbox
    assert stage.error()["code"] == "deadline"
    stage.check()


def test_joining_extends_the_deadline_to_the_latest_waiter() -> None:
    stage = Stage()
    player = Player(stage, slots=0)
    stage.ask(client=b"1", meta={"id": "x", "age_ms": 0, "deadline_ms": 500})
    stage.ask(client=b"2", meta={"id": "x", "age_ms": 0, "deadline_ms": 2000})
    stage.pass_time(1, alive=[player])
    assert not stage.replies
    stage.pass_time(1.1, alive=[player])
    assert stage.error(b"1")["code"] == stage.error(b"2")["code"] == "deadline"


def test_joining_never_shortens_a_deadline() -> None:
    stage = Stage()
    player = Player(stage, slots=0)
    stage.ask(client=b"1", meta={"id": "x", "age_ms": 0, "deadline_ms": 2000})
    stage.ask(client=b"2", meta={"id": "x", "age_ms": 0, "deadline_ms": 100})
    stage.pass_time(1, alive=[player])
    assert not stage.replies


def test_a_request_given_again_after_a_loss_is_not_said_not_to_have_run() -> None:
    stage = Stage()
    player = Player(stage, offer(safe("m")))
    stage.ask(meta={"deadline_ms": 1000})
    player.dies()
    stage.pass_time(1.1)
    error = stage.error()
    assert error["code"] == "deadline"
    assert "not run" not in error["msg"]


# Bounds --------------------------------------------------------------------------------


def test_a_full_queue_says_busy_at_once_and_when_to_try_again() -> None:
    stage = Stage(queue_length=3)
    Player(stage, slots=0)
    for number in range(4):
        stage.ask(client=b"%d" % number)
    error = stage.error(b"3")
    assert error["code"] == "busy"
    assert error["retryable"]
    assert 100 <= error["retry_after_ms"] <= 5000
    assert "3 of at most 3" in error["msg"]
    assert stage.core.dispatcher.queued == 3


def test_a_full_queue_of_one_method_does_not_close_another() -> None:
    stage = Stage(queue_length=1)
    player = Player(stage, offer("a", "b"), slots=0)
    stage.ask("a", client=b"1")
    stage.ask("a", client=b"2")
    stage.ask("b", client=b"3")
    assert stage.error(b"2")["code"] == "busy"
    player.heartbeat(slots=2)
    assert sorted(task.method for task in player.inbox) == ["a", "b"]


def test_the_longer_the_work_the_later_a_busy_client_is_to_come_back() -> None:
    waits = []
    for ran_us in (1000, 1_000_000):
        stage = Stage(queue_length=10)
        player = Player(stage)
        for _ in range(8):
            stage.ask()
            player.done(ran_us=ran_us)
        stage.replies.clear()
        for number in range(12):
            stage.ask(client=b"%d" % number)
        waits.append(stage.error(b"11")["retry_after_ms"])
    assert waits[0] < waits[1]


def test_the_bytes_of_all_queues_together_are_bounded() -> None:
    size = len(request_body(data="x" * 5000))
    stage = Stage(queue_bytes=3 * (size + WAITING_BYTES))
    player = Player(stage, slots=0)
    for number in range(4):
        stage.ask(client=b"%d" % number, data="x" * 5000)
    error = stage.error(b"3")
    assert error["code"] == "busy"
    assert error["retry_after_ms"] >= 100
    player.heartbeat(slots=3)
    assert len(player.inbox) == 3
    assert stage.core.dispatcher.queued_bytes == 0


def test_the_bound_of_bytes_holds_where_each_request_has_a_route_of_its_own() -> None:
    """A method for any host makes a route for each hostname that anybody thinks up."""
    stage = Stage(queue_bytes=100_000)
    Player(stage, slots=0)
    for number in range(1000):
        stage.ask(hostname=f"h{number}", client=b"%d" % number, data="x" * 1000)
    assert stage.core.dispatcher.queued_bytes <= 100_000
    assert stage.counters["busy"] >= 900
    stage.check()


def test_the_bound_of_bytes_holds_in_the_grace() -> None:
    stage = Stage(grace=True, queue_bytes=100_000)
    for number in range(1000):
        stage.ask(f"method{number}", data="x" * 1000)
    assert stage.core.dispatcher.queued_bytes <= 100_000
    stage.check()


@pure_only
def test_room_is_looked_for_once_for_each_request(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    Player(stage, slots=0)
    looked: list[int] = []
    room = stage.core.dispatcher.quota.has_room
    monkeypatch.setattr(
        stage.core.dispatcher.quota,
        "has_room",
        lambda share, size: looked.append(size) or room(share, size),
    )
    for count in (1, 2):
        stage.ask()
        assert len(looked) == count
    stage.ask(meta={"id": "x", "moved": True})
    assert len(looked) == 3


def test_when_to_come_back_goes_by_the_slots_of_all_workers() -> None:
    stage = Stage(queue_length=10)
    players = [Player(stage, name=str(number), slots=0) for number in range(4)]
    for number in range(10):
        stage.ask(client=b"%d" % number)
    stage.core.directory.routes["m", None].pace = 1.0

    def wait() -> int:
        stage.ask(client=b"refused")
        wait: int = stage.error(b"refused")["retry_after_ms"]
        return wait

    none = wait()
    for player in players:
        player.slots = 1
        player.record.slots = 1
        player.record.pool.place(player.record)
    assert (none, wait()) == (5000, 1250)
    players[0].dies()
    assert wait() == 1666


def test_the_bound_of_bytes_holds_for_what_is_sought_too() -> None:
    stage = Stage(queue_bytes=100_000)
    Player(stage)
    for number in range(1000):
        stage.ask(meta={"id": str(number), "moved": True}, data="x" * 1000)
    assert stage.core.dispatcher.quota.bytes <= 100_000
    assert stage.counters["busy"] >= 900
    stage.check()


def test_a_request_larger_than_the_bound_may_wait_where_nothing_else_does() -> None:
    stage = Stage(queue_bytes=1024)
    player = Player(stage, slots=0)
    stage.ask(data="x" * 5000)
    player.heartbeat(slots=1)
    player.done()
    assert stage.answer()["success"] == 0


@pytest.mark.parametrize("deadline_ms", [1, 1e6, 1e12])
def test_any_deadline_can_be_kept(deadline_ms: float) -> None:
    stage = Stage()
    player = Player(stage, slots=0)
    stage.ask(meta={"deadline_ms": deadline_ms})
    stage.check()
    player.heartbeat(slots=1)
    player.done()
    assert stage.answer()["success"] == 0
    stage.check()


def test_deadlines_that_were_met_leave_nothing_behind() -> None:
    """Each would have had a place of its own for the next 30 years."""
    stage = Stage()
    player = Player(stage, slots=0)
    for number in range(2000):
        stage.ask(meta={"deadline_ms": 1e6 * (number + 1)})
        player.heartbeat(slots=1)
        player.done()
        player.heartbeat(slots=0)
    timetable = stage.core.dispatcher.timetable
    assert not timetable._buckets
    assert len(timetable._order) < 100
