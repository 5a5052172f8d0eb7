"""Requests go to workers that serve their method for their host; others are told."""

from __future__ import annotations

import pytest

from tests.support.core import Player, Stage, offer, safe
from vpoller_like.broker import routing
from vpoller_like.protocol.encoding import Encoding


def test_a_request_goes_to_the_worker_that_serves_its_method() -> None:
    stage = Stage()
    one, two = Player(stage, offer("a"), name="1"), Player(stage, offer("b"), name="2")
    stage.ask("b")
    assert not one.inbox
    assert two.take().method == "b"


def test_a_request_goes_to_the_worker_that_serves_its_host() -> None:
    stage = Stage()
    one = Player(stage, offer("a", hosts=["x"]), name="1")
    two = Player(stage, offer("a", hosts=["y"]), name="2")
    stage.ask("a", "y")
    assert not one.inbox
    assert two.take().hostname == "y"


def test_a_worker_without_hosts_serves_any_host() -> None:
    stage = Stage()
    player = Player(stage, offer("a"))
    stage.ask("a", "anything")
    assert player.take().hostname == "anything"


@pytest.mark.parametrize("hostname", [None, ""])
def test_a_request_without_a_hostname_goes_to_any_worker_of_the_method(
    hostname: str | None,
) -> None:
    stage = Stage()
    player = Player(stage, offer("a", hosts=["x"]))
    stage.ask("a", hostname)
    assert player.take().hostname is None


def test_the_body_reaches_the_worker_as_it_came() -> None:
    stage = Stage()
    player = Player(stage)
    body = b' {"method" : "m", "x": [1, 2.50] } '
    stage.ask_raw(body)
    assert player.take().body == body


def test_the_reply_reaches_the_client_as_it_came() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask()
    player.done(body=b'{"success": 0, "msg": "x",  "result": 2.50}')
    assert [r.body for r in stage.replies] == [b'{"success": 0, "msg": "x",  "result": 2.50}']


def test_an_unknown_method_is_named() -> None:
    stage = Stage()
    Player(stage)
    stage.ask("nobody.serves")
    error = stage.error()
    assert error["code"] == "unknown_method"
    assert "nobody.serves" in error["msg"]


def test_an_unknown_host_is_answered_with_the_hosts_there_are() -> None:
    stage = Stage()
    Player(stage, offer("a", hosts=["x", "y"]), name="1")
    Player(stage, offer("a", hosts=["z"]), name="2")
    stage.ask("a", "q")
    error = stage.error()
    assert error["code"] == "unknown_host"
    assert error["hosts"] == ["x", "y", "z"]
    assert "q" in error["msg"]
    assert "x, y, z" in error["msg"]


def test_of_many_hosts_an_error_lists_some() -> None:
    stage = Stage()
    Player(stage, offer("a", hosts=[f"h{n:03}" for n in range(500)]))
    stage.ask("a", "q")
    error = stage.error()
    assert len(error["hosts"]) == 20
    assert "and others" in error["msg"]


def test_a_broker_that_has_just_started_lets_any_method_wait() -> None:
    stage = Stage(grace=True)
    stage.ask()
    assert not stage.replies
    player = Player(stage)
    player.done()
    assert stage.answer()["result"] == "done"


def test_what_waits_from_the_grace_on_is_bounded_by_its_deadline() -> None:
    stage = Stage(grace=True)
    stage.ask(meta={"deadline_ms": 5000})
    stage.pass_time(4.9)
    assert not stage.replies
    stage.pass_time(0.2)
    assert stage.error()["code"] == "deadline"


def test_after_the_grace_an_unknown_method_is_refused_at_once() -> None:
    stage = Stage(grace=True)
    stage.pass_time(2.1)
    stage.ask()
    assert stage.error()["code"] == "unknown_method"


def test_a_method_whose_last_worker_has_just_left_is_waited_for() -> None:
    stage = Stage()
    Player(stage, offer("a")).bye()
    stage.ask("a")
    assert not stage.replies
    back = Player(stage, offer("a"), name="back")
    back.done()
    assert stage.answer()["success"] == 0


def test_a_host_whose_last_worker_has_just_left_is_waited_for_by_that_host_alone() -> None:
    stage = Stage()
    Player(stage, offer("a", hosts=["x"])).bye()
    stage.ask("a", "x", client=b"x")
    stage.ask("a", "y", client=b"y")
    assert not stage.answers(b"x")
    assert stage.error(b"y")["code"] == "unknown_method"


def test_a_method_whose_last_worker_left_long_ago_is_unknown() -> None:
    stage = Stage(route_memory_ms=1000)
    Player(stage, offer("a")).bye()
    stage.pass_time(1.1)
    stage.ask("a")
    assert stage.error()["code"] == "unknown_method"


def test_workers_with_different_offers_share_the_work_of_a_method() -> None:
    stage = Stage()
    one = Player(stage, offer("a", "b"), name="1", slots=2)
    two = Player(stage, offer("a", "c"), name="2", slots=2)
    for _ in range(4):
        stage.ask("a")
    assert (len(one.inbox), len(two.inbox)) == (2, 2)


def test_workers_with_the_same_offers_are_given_work_in_turn() -> None:
    stage = Stage()
    players = [Player(stage, name=str(n), slots=2) for n in range(3)]
    for _ in range(3):
        stage.ask()
    assert [len(player.inbox) for player in players] == [1, 1, 1]


def test_several_offers_of_one_worker_are_all_served() -> None:
    stage = Stage()
    player = Player(
        stage,
        offer("a", hosts=["x"], agent="1"),
        offer("a", "b", hosts=["y"], agent="2"),
        slots=4,
    )
    stage.ask("a", "x")
    stage.ask("a", "y")
    stage.ask("b", "y")
    stage.ask("b", "x", client=b"wrong")
    assert [(t.method, t.hostname) for t in player.inbox] == [("a", "x"), ("a", "y"), ("b", "y")]
    assert stage.error(b"wrong")["code"] == "unknown_host"


def test_a_method_offered_twice_is_safe_to_run_twice_only_if_both_say_so() -> None:
    stage = Stage()
    player = Player(
        stage,
        offer("a", hosts=["x"], agent="1"),
        offer(safe("a"), hosts=["y"], agent="2"),
    )
    stage.ask("a", "x")
    player.take()
    player.dies()
    assert stage.error()["code"] == "worker_lost"


def test_a_worker_that_changes_its_offers_is_asked_for_the_new_ones_alone() -> None:
    stage = Stage(route_memory_ms=1)
    player = Player(stage, offer("a"))
    player.offers = [offer("b")]
    player.hello()
    stage.pass_time(0.1)
    stage.ask("a", client=b"a")
    stage.ask("b", client=b"b")
    assert stage.error(b"a")["code"] == "unknown_method"
    player.done()
    assert stage.answer(b"b")["success"] == 0


def test_a_request_that_waits_is_given_to_a_worker_of_another_kind_that_joins() -> None:
    stage = Stage()
    busy = Player(stage, offer("a"))
    for _ in range(2):
        stage.ask("a")
    assert len(busy.inbox) == 1
    other = Player(stage, offer("a", "b"), name="2")
    assert len(other.inbox) == 1


def test_a_request_in_messagepack_is_refused_in_messagepack() -> None:
    stage = Stage()
    stage.ask("a", encoding=Encoding.MSGPACK)
    assert stage.replies[0].body[:1] != b"{"
    assert stage.error()["code"] == "unknown_method"


def test_ever_new_hostnames_leave_no_more_routes_than_are_in_use(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(routing, "MANY_ROUTES", 50)
    stage = Stage()
    player = Player(stage, slots=1)
    for number in range(220):
        stage.ask(hostname=f"host{number}")
        player.done()
    assert len(stage.core.directory.routes) <= 50
    stage.check()


def test_routes_in_use_outlive_ever_new_hostnames(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routing, "MANY_ROUTES", 50)
    stage = Stage()
    player = Player(stage, slots=0)
    for number in range(220):
        stage.ask(hostname=f"host{number}")
    player.heartbeat(slots=220)
    assert len(player.inbox) == 220
    stage.check()
