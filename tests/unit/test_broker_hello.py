"""HELLO: a worker comes, comes back, and brings along what it holds."""

from __future__ import annotations

import msgpack
import pytest

from tests.support.core import (
    Player,
    Stage,
    finished,
    held_run,
    holding,
    offer,
    request_body,
    safe,
)
from vpoller_like.broker import acks
from vpoller_like.broker import events as ev
from vpoller_like.protocol import worker as wire

NEW = {"id": "x", "age_ms": 0}
BODY = request_body(meta=NEW)


def test_a_worker_is_welcomed_with_the_intervals_and_the_brokers_epoch() -> None:
    stage = Stage(heartbeat_ms=700, liveness_ms=2100)
    player = Player(stage)
    (welcome,) = stage.said(wire.Welcome, player.peer)
    assert (welcome.heartbeat_ms, welcome.liveness_ms) == (700, 2100)
    assert welcome.epoch == stage.core.epoch
    assert welcome.version == wire.VERSION


def test_the_welcome_comes_before_everything_else() -> None:
    stage = Stage(grace=True)
    stage.ask()
    stage.ask(meta={"id": "x", "moved": True}, client=b"sought")
    player = Player(stage, hello=False, slots=3)
    actions = player.hello(held_run("unwanted", BODY))
    assert type(actions[0].message) is wire.Welcome  # type: ignore[union-attr]
    assert any(isinstance(action, ev.Give) for action in actions)


# After the broker was restarted --------------------------------------------------------


def test_a_run_that_outlived_its_broker_is_expected_by_the_next_one() -> None:
    stage = Stage()
    held = held_run("x", BODY)
    player = Player(stage, hello=False)
    player.hello(held)
    assert not stage.said(wire.Cancel)
    stage.ask_raw(BODY)
    assert not player.inbox
    player.says(wire.Results(1, 1, 0, [finished(held, "outlived")]))
    assert stage.answer()["result"] == "outlived"
    stage.check()


def test_a_result_that_comes_before_anybody_asks_is_remembered() -> None:
    stage = Stage()
    held = held_run("x", BODY)
    player = Player(stage, hello=False)
    player.hello(held)
    player.says(wire.Results(1, 1, 0, [finished(held, "early")]))
    stage.ask_raw(BODY)
    assert stage.answer()["result"] == "early"


def test_a_request_that_waits_already_takes_the_run_that_a_worker_brings() -> None:
    stage = Stage(grace=True)
    stage.ask_raw(BODY)
    held = held_run("x", BODY)
    player = Player(stage, hello=False)
    player.hello(held)
    assert not player.inbox
    player.says(wire.Results(1, 1, 0, [finished(held, "brought")]))
    assert stage.answer()["result"] == "brought"
    stage.check()


def test_a_request_whose_id_is_looked_for_takes_the_run_that_a_worker_brings() -> None:
    stage = Stage(grace=True)
    body = request_body(meta={"id": "x"})
    stage.ask_raw(body)
    held = held_run("x", body)
    player = Player(stage, hello=False)
    player.hello(held)
    player.says(wire.Results(1, 1, 0, [finished(held, "brought")]))
    assert stage.answer()["result"] == "brought"
    stage.check()


def test_a_run_without_an_id_is_cancelled_for_nobody_can_ask_for_it() -> None:
    stage = Stage()
    held = wire.Held(77 << 40, 2, "m", None, "", None, None)
    player = Player(stage, hello=False)
    player.hello(held)
    (cancel,) = stage.said(wire.Cancel, player.peer)
    assert cancel.items == [wire.Attempt(77 << 40, 2)]
    stage.check()


def test_a_run_whose_id_was_answered_already_is_cancelled() -> None:
    stage = Stage()
    first = Player(stage, name="1")
    stage.ask_raw(BODY)
    first.done()
    second = Player(stage, name="2", hello=False)
    second.hello(held_run("x", BODY))
    assert len(stage.said(wire.Cancel, second.peer)) == 1


def test_a_run_of_another_body_under_the_same_id_is_cancelled() -> None:
    stage = Stage()
    stage_player = Player(stage, slots=0)
    stage.ask_raw(BODY)
    second = Player(stage, name="2", hello=False, slots=0)
    second.hello(held_run("x", request_body(meta=NEW, other=1)))
    assert len(stage.said(wire.Cancel, second.peer)) == 1
    stage_player.heartbeat(slots=1)
    stage_player.done()
    assert stage.answer()["success"] == 0


def test_two_workers_that_bring_the_same_id_give_one_answer() -> None:
    stage = Stage()
    one = Player(stage, name="1", hello=False)
    two = Player(stage, name="2", hello=False)
    one.hello(held_run("x", BODY, task=5 << 40))
    two.hello(held_run("x", BODY, task=6 << 40))
    assert not stage.said(wire.Cancel, one.peer)
    assert len(stage.said(wire.Cancel, two.peer)) == 1
    stage.check()


def test_a_run_that_is_brought_along_twice_in_one_hello_is_taken_up_once() -> None:
    stage = Stage()
    held = held_run("x", BODY)
    player = Player(stage, hello=False)
    player.hello(held, held, held_run("x", BODY, attempt=2))
    stage.check()
    player.says(wire.Results(1, 1, 0, [finished(held)]))
    stage.check()


def test_a_run_that_nobody_asked_for_and_that_is_given_back_is_forgotten() -> None:
    """It was queued without a body, and an empty body was given to the next worker."""
    stage = Stage()
    held = held_run("x", BODY)
    player = Player(stage, hello=False)
    player.hello(held)
    player.says(wire.Return(1, 0, [wire.Attempt(held.task, held.attempt)]))
    assert not player.inbox
    assert not stage.core.dispatcher.live
    player.hello(held)
    player.hello()
    assert not player.inbox
    assert not stage.core.dispatcher.live
    stage.check()


def test_a_run_that_somebody_asked_for_and_that_is_given_back_runs() -> None:
    stage = Stage()
    held = held_run("x", BODY)
    player = Player(stage, hello=False)
    player.hello(held)
    stage.ask_raw(BODY)
    player.says(wire.Return(1, 0, [wire.Attempt(held.task, held.attempt)]))
    assert player.inbox[0].body == BODY
    player.done()
    assert stage.answer()["success"] == 0


def test_a_worker_with_a_run_it_brought_along_has_a_slot_less() -> None:
    stage = Stage()
    player = Player(stage, hello=False, slots=2)
    player.hello(held_run("x", BODY))
    stage.ask(client=b"1")
    stage.ask(client=b"2")
    assert len(player.inbox) == 1
    stage.check()


def test_a_run_with_a_number_that_this_broker_has_yet_to_use_harms_no_task() -> None:
    """Two tasks had one number, and the end of the first was the end of the broker."""
    stage = Stage()
    liar = Player(stage, name="1", hello=False)
    own = stage.last_number
    liar.hello(held_run("x", BODY, task=own + 1), held_run("y", BODY, task=own + 2))
    honest = Player(stage, name="2", slots=2)
    stage.ask(client=b"1")
    stage.ask(client=b"2")
    stage.check()
    while honest.inbox:
        honest.done()
    assert stage.answer(b"1")["success"] == stage.answer(b"2")["success"] == 0
    stage.check()


# Coming back ---------------------------------------------------------------------------


def test_the_same_worker_on_a_new_connection_keeps_what_it_holds() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask()
    task = player.inbox[0]
    player.hello(holding(task), new_peer=True)
    assert not stage.said(wire.Cancel)
    player.done(task)
    assert stage.answer()["success"] == 0
    assert len(stage.core.roster.workers) == 1
    stage.check()


def test_what_never_reached_the_worker_is_given_again() -> None:
    stage = Stage()
    player = Player(stage, slots=2)
    stage.ask(client=b"1")
    stage.ask(client=b"2")
    first, second = player.inbox
    player.hello(holding(first), new_peer=True)
    (again,) = [task for task in player.inbox if task.task == second.task]
    assert again.attempt == 2
    player.done(first)
    player.done(again)
    assert stage.answer(b"1")["success"] == stage.answer(b"2")["success"] == 0
    assert stage.counters["worker_lost"] == 0
    stage.check()


def test_what_is_given_again_at_hello_is_given_in_its_order() -> None:
    stage = Stage()
    player = Player(stage, slots=4)
    for _ in range(4):
        stage.ask()
    order = [task.task for task in player.inbox]
    player.slots = 1
    player.hello()
    got = []
    while player.inbox:
        got.append(player.inbox[0].task)
        player.done()
    assert got == order


def test_the_old_connection_of_a_worker_that_came_back_is_a_stranger() -> None:
    stage = Stage()
    player = Player(stage)
    old = player.peer
    player.hello(new_peer=True)
    stage.feed(ev.WorkerSays(old, wire.Heartbeat(9, 0)))
    assert [type(t.message) for t in stage.told if t.peer == old][-1] is wire.Resync
    assert player.record.slots == 1


def test_the_end_of_the_old_connection_is_not_the_end_of_the_worker() -> None:
    stage = Stage()
    player = Player(stage)
    old = player.peer
    player.hello(new_peer=True)
    stage.feed(ev.PeerGone(old))
    assert player.record.peer == player.peer


def test_hello_twice_is_as_good_as_once() -> None:
    stage = Stage()
    player = Player(stage)
    player.hello()
    stage.ask()
    player.done()
    assert stage.answer()["success"] == 0
    assert len(stage.core.roster.workers) == 1
    stage.check()


def test_hello_ends_a_drain() -> None:
    stage = Stage()
    player = Player(stage)
    player.drain()
    player.hello()
    stage.ask()
    assert len(player.inbox) == 1


def test_the_count_of_results_begins_anew_with_each_hello() -> None:
    stage = Stage()
    player = Player(stage)
    for _ in range(2):
        stage.ask()
        player.done()
        stage.pass_time(acks.PATIENCE + 0.1, alive=[player])
        player.hello()
    assert [ack.seq for ack in stage.said(wire.Ack)] == [1, 1]


def test_another_worker_on_the_same_connection_takes_its_place() -> None:
    stage = Stage()
    one = Player(stage, name="1")
    stage.ask()
    two = Player(stage, name="2", hello=False)
    two.peer = one.peer
    two.hello()
    assert list(stage.core.roster.workers) == [two.instance]
    assert stage.error()["code"] == "worker_lost"
    stage.check()


def test_a_superseded_run_is_cancelled_when_its_worker_comes_back() -> None:
    stage = Stage()
    one = Player(stage, offer(safe("m")), name="1")
    stage.ask()
    old = one.take()
    one.dies()
    two = Player(stage, offer(safe("m")), name="2")
    one.hello(holding(old), new_peer=True)
    (cancel,) = stage.said(wire.Cancel, one.peer)
    assert cancel.items == [wire.Attempt(old.task, old.attempt)]
    two.done(result="second")
    assert stage.answer()["result"] == "second"
    stage.check()


def test_a_lost_worker_that_comes_back_before_the_task_is_given_again_keeps_it() -> None:
    stage = Stage()
    one = Player(stage, offer(safe("m")), name="1")
    stage.ask()
    task = one.take()
    one.dies()
    one.hello(holding(task), new_peer=True)
    assert not stage.said(wire.Cancel)
    one.done(task, result="kept")
    assert stage.answer()["result"] == "kept"
    stage.check()


def test_a_worker_keeps_its_tasks_when_its_offers_change() -> None:
    stage = Stage()
    player = Player(stage, offer("m"))
    stage.ask()
    task = player.inbox[0]
    player.offers = [offer("n")]
    player.hello(holding(task))
    player.done(task)
    assert stage.answer()["success"] == 0
    stage.check()


# What cannot be taken in ---------------------------------------------------------------


def deep(levels: int) -> list[object]:
    value: list[object] = []
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize("default", [msgpack.Timestamp(1, 2), deep(990)])
def test_an_offer_that_cannot_be_shown_is_refused_and_harms_nobody(default: object) -> None:
    stage = Stage()
    param = wire.Param(name="p", default=default)
    odd = Player(stage, wire.Offer("a", [wire.Method(name="x", params=[param])]), name="odd")
    assert [type(t.message) for t in stage.told if t.peer == odd.peer] == [wire.Refused]
    assert list(stage.core.roster.workers) == []
    assert stage.counters["garbled"] == 1
    Player(stage, name="good")
    stage.ask()
    assert len(stage.given) == 1


# Keys ----------------------------------------------------------------------------------


def test_a_worker_whose_rights_changed_keeps_what_it_holds_and_gets_nothing_until_its_hello() -> (
    None
):
    stage = Stage()
    player = Player(stage, slots=2, key="k")
    stage.ask(client=b"before")
    running = player.take()
    stage.feed(ev.KeysChanged(frozenset(), frozenset({"k"})))
    assert stage.said(wire.Resync, player.peer)
    stage.ask(client=b"after")
    player.heartbeat()
    assert not player.inbox
    player.done(running, result="kept")
    assert stage.answer(b"before")["result"] == "kept"
    player.hello()
    player.done(result="given")
    assert stage.answer(b"after")["result"] == "given"
    assert stage.counters["lost_workers"] == 0
    stage.check()


def test_a_worker_that_does_not_say_hello_by_its_new_rights_is_given_up() -> None:
    stage = Stage(liveness_ms=2000)
    player = Player(stage, key="k")
    other = Player(stage, name="other", key="o")
    stage.ask()
    held = player.inbox or other.inbox
    assert held
    stage.feed(ev.KeysChanged(frozenset(), frozenset({"k"})))
    stage.pass_time(5.0, alive=[player, other])
    assert list(stage.core.roster.workers) == [other.instance]
    assert stage.counters["lost_workers"] == 1
    stage.check()


def test_a_workers_place_is_its_connections_and_its_keys() -> None:
    stage = Stage()
    player = Player(stage, key="k")
    stage.ask()
    (task,) = player.inbox
    player.key = "another"
    player.done(task, result="forged")
    assert not stage.answers()
    assert stage.said(wire.Resync, player.peer)
    player.key = "k"
    player._inbox.append(task)
    player.done(task, result="true")
    assert stage.answer()["result"] == "true"


def test_workers_that_are_sent_away_again_and_again_do_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    player = Player(stage, hello=False)
    for _ in range(100):
        player.hello(version=99)
    assert len(stage.said(wire.Refused, player.peer)) == 100
    (record,) = [r for r in caplog.records if "sent away" in r.getMessage()]
    assert "it speaks protocol 99" in record.getMessage()
