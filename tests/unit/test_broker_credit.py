"""A worker is given no more than it asked for."""

from __future__ import annotations

from tests.support.core import Player, Stage, offer, request_body, safe
from vpoller_like.broker import events as ev
from vpoller_like.protocol.request import parse_head


def test_no_more_tasks_are_given_than_there_are_slots() -> None:
    stage = Stage()
    player = Player(stage, slots=2)
    for _ in range(5):
        stage.ask()
    assert len(player.inbox) == 2
    assert stage.core.dispatcher.queued == 3


def test_each_result_makes_room_for_the_next_task() -> None:
    stage = Stage()
    player = Player(stage, slots=1)
    for number in range(3):
        stage.ask(client=b"%d" % number)
    for number in range(3):
        player.done(result=number)
        assert stage.answer(b"%d" % number)["result"] == number


def test_tasks_that_may_run_twice_are_given_ahead_too() -> None:
    stage = Stage()
    player = Player(stage, offer(safe("m")), slots=1, ahead=3)
    for _ in range(9):
        stage.ask()
    assert len(player.inbox) == 4


def test_tasks_that_may_not_run_twice_are_given_against_slots_alone() -> None:
    stage = Stage()
    player = Player(stage, slots=1, ahead=3)
    for _ in range(9):
        stage.ask()
    assert len(player.inbox) == 1


def test_a_worker_with_a_free_slot_comes_before_one_that_would_hold_a_task_waiting() -> None:
    stage = Stage()
    one = Player(stage, offer(safe("m")), name="1", slots=1, ahead=9)
    stage.ask()
    assert len(one.inbox) == 1
    two = Player(stage, offer(safe("m")), name="2", slots=1, ahead=9)
    stage.ask()
    assert len(one.inbox) == len(two.inbox) == 1


def test_both_kinds_of_method_get_their_turn_where_both_wait_for_one_slot() -> None:
    stage = Stage()
    player = Player(stage, offer("careful", safe("quick")), slots=0)
    for _ in range(3):
        stage.ask("quick")
        stage.ask("careful")
    player.heartbeat(slots=1)
    order = []
    for _ in range(6):
        order.append(player.inbox[0].method)
        player.done()
    assert sorted(order[:2]) == sorted(order[2:4]) == sorted(order[4:]) == ["careful", "quick"]


def test_quick_tasks_held_ahead_leave_no_slot_for_one_that_may_not_run_twice() -> None:
    stage = Stage()
    player = Player(stage, offer("careful", safe("quick")), slots=1, ahead=2)
    for _ in range(3):
        stage.ask("quick")
    stage.ask("careful")
    assert [t.method for t in player.inbox] == ["quick"] * 3
    player.done()
    player.done()
    assert [t.method for t in player.inbox] == ["quick"]
    player.done()
    assert [t.method for t in player.inbox] == ["careful"]


def test_a_worker_without_room_is_given_nothing_until_it_says_so() -> None:
    stage = Stage()
    player = Player(stage, slots=0)
    stage.ask()
    assert not player.inbox
    player.heartbeat(slots=1)
    assert len(player.inbox) == 1


def test_a_grant_that_shrinks_is_heeded() -> None:
    stage = Stage()
    player = Player(stage, slots=4)
    stage.ask()
    player.heartbeat(slots=1)
    stage.ask()
    assert len(player.inbox) == 1


def test_a_draining_worker_is_given_nothing_more_and_its_results_count() -> None:
    stage = Stage()
    player = Player(stage, slots=2)
    stage.ask(client=b"1")
    player.drain()
    stage.ask(client=b"2")
    player.heartbeat()
    assert len(player.inbox) == 1
    player.done()
    assert stage.answer(b"1")["success"] == 0
    player.bye()
    assert not stage.answers(b"2")
    Player(stage, name="next").done()
    assert stage.answer(b"2")["success"] == 0


def test_a_hello_with_fewer_slots_is_not_given_back_more_than_it_has_room_for() -> None:
    """What HELLO takes back went to the same worker by its old grant."""
    stage = Stage()
    player = Player(stage, slots=4)
    for _ in range(6):
        stage.ask()
    player.slots = 1
    player.hello()
    assert len(player.inbox) == 1
    stage.check()


def test_a_hello_without_slots_is_given_nothing_back() -> None:
    stage = Stage()
    player = Player(stage, slots=4)
    stage.ask()
    player.slots = 0
    player.hello()
    assert not player.inbox
    assert stage.core.dispatcher.queued == 1
    stage.check()


def test_tasks_of_one_round_carry_the_session_of_the_last_hello() -> None:
    stage = Stage()
    player = Player(stage)
    player.hello()
    stage.ask()
    assert [give.session for give in stage.given] == [2]


def _ask_at_once(stage: Stage, count: int) -> None:
    """Have ``count`` clients' requests arrive in one round."""
    body = request_body()
    requests = [ev.Request((b"c%d" % n, b""), body, parse_head(body)) for n in range(count)]
    faults: list[Exception] = []
    for action in stage.core.handle_all(requests, stage.now, lambda error, _: faults.append(error)):
        assert isinstance(action, ev.Give)
        stage.given.append(action)
    assert not faults


def _pair(stage: Stage, *, ran_us: int, slots: int = 1, ahead: int = 60) -> tuple[Player, Player]:
    """Return two workers whose tasks are known to take so long."""
    one = Player(stage, offer(safe("m")), name="1", slots=slots, ahead=ahead)
    for _ in range(60):
        stage.ask()
        one.done(ran_us=ran_us)
    return one, Player(stage, offer(safe("m")), name="2", slots=slots, ahead=ahead)


def test_quick_tasks_that_come_at_once_wake_one_worker() -> None:
    stage = Stage()
    one, two = _pair(stage, ran_us=10)
    _ask_at_once(stage, 12)
    assert sorted([len(one.inbox), len(two.inbox)]) == [0, 12]


def test_the_next_ones_are_for_the_other_worker() -> None:
    stage = Stage()
    one, two = _pair(stage, ran_us=10)
    _ask_at_once(stage, 12)
    _ask_at_once(stage, 12)
    assert [len(one.inbox), len(two.inbox)] == [12, 12]


def test_no_worker_gets_more_at_once_than_takes_as_long_as_to_wake_another() -> None:
    stage = Stage()
    one, two = _pair(stage, ran_us=60)
    _ask_at_once(stage, 8)
    assert [len(one.inbox), len(two.inbox)] == [4, 4]


def test_a_worker_that_gets_several_at_once_gets_no_more_than_it_has_room_for() -> None:
    stage = Stage()
    one, two = _pair(stage, ran_us=1, ahead=2)
    _ask_at_once(stage, 9)
    assert [len(one.inbox), len(two.inbox), stage.core.dispatcher.queued] == [3, 3, 3]


def test_slow_tasks_that_come_at_once_are_for_each_worker_in_turn() -> None:
    stage = Stage()
    one, two = _pair(stage, ran_us=1000, slots=4)
    _ask_at_once(stage, 8)
    assert [len(one.inbox), len(two.inbox)] == [4, 4]


def test_tasks_of_which_nobody_knows_how_long_they_take_are_for_each_worker_in_turn() -> None:
    stage = Stage()
    one = Player(stage, offer(safe("m")), name="1", slots=1, ahead=60)
    two = Player(stage, offer(safe("m")), name="2", slots=1, ahead=60)
    _ask_at_once(stage, 8)
    assert [len(one.inbox), len(two.inbox)] == [4, 4]
