"""Draining, stopping, and what is left when all was answered: nothing."""

from __future__ import annotations

import random

from tests.support.core import Player, Stage, finished, held_run, offer, request_body, safe
from vpoller_like.broker import events as ev
from vpoller_like.protocol.worker import Possession, Results, WhoHas

NEW = {"id": "x", "age_ms": 0}


def test_a_draining_broker_refuses_what_is_new_and_says_where_to_turn() -> None:
    stage = Stage()
    Player(stage)
    stage.feed(ev.DrainAsked())
    stage.ask()
    error = stage.error()
    assert error["code"] == "shutting_down"
    assert error["retryable"]
    assert "another broker" in error["msg"]


def test_a_draining_broker_finishes_what_runs_and_what_waits() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask(client=b"1")
    stage.ask(client=b"2")
    stage.feed(ev.DrainAsked())
    rest = []
    for _ in range(2):
        rest.append(stage.core.at_rest)
        player.done()
    assert [*rest, stage.core.at_rest] == [False, False, True]
    assert stage.answer(b"1")["success"] == stage.answer(b"2")["success"] == 0


def test_a_draining_broker_lets_an_id_join() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask(client=b"1", meta=NEW)
    stage.feed(ev.DrainAsked())
    stage.ask(client=b"2", meta=NEW)
    player.done()
    assert stage.answer(b"2")["success"] == 0


def test_a_run_that_nobody_asked_for_does_not_hold_up_the_end() -> None:
    stage = Stage()
    Player(stage, hello=False).hello(held_run("x", request_body(meta=NEW)))
    assert stage.core.dispatcher.live
    assert stage.core.at_rest


def test_a_broker_that_stops_answers_whatever_is_left() -> None:
    stage = Stage(grace=True)
    stage.feed(ev.PlainPeers(1))
    stage.ask("p", client=b"plain")
    stage.pass_time(2.1)
    player = Player(stage)
    stage.ask(client=b"running")
    stage.ask(client=b"waiting")
    stage.ask(client=b"sought", meta={"id": "x", "moved": True})
    stage.feed(ev.StopAsked())
    assert stage.error(b"waiting")["code"] == "shutting_down"
    assert stage.error(b"running")["code"] == "worker_lost"
    assert stage.error(b"sought")["code"] == "worker_lost"
    assert stage.error(b"plain")["code"] == "worker_lost"
    assert stage.core.at_rest
    player.bye()
    stage.pass_time(100, step=1)
    assert stage.leftovers() == {}


def test_a_broker_that_stops_does_not_say_of_what_was_lost_that_it_has_not_run() -> None:
    stage = Stage()
    player = Player(stage, offer(safe("m")))
    stage.ask(client=b"lost")
    stage.ask(client=b"fresh")
    player.dies()
    stage.feed(ev.StopAsked())
    lost, fresh = stage.error(b"lost"), stage.error(b"fresh")
    assert lost["code"] == fresh["code"] == "shutting_down"
    assert "may have run" in lost["msg"]
    assert "has not run" in fresh["msg"]


def test_what_comes_after_the_stop_changes_nothing() -> None:
    stage = Stage()
    stage.feed(ev.PlainPeers(1))
    player = Player(stage)
    stage.ask("p", client=b"plain")
    stage.ask(client=b"running")
    task = player.take()
    stage.feed(ev.StopAsked())
    replies = len(stage.replies)
    stage.feed(ev.PlainReply(stage.asked_plain[0].token, b"{}"))
    player.done(task)
    assert len(stage.replies) == replies


def test_nothing_is_left_when_all_was_answered_and_time_has_passed() -> None:
    stage = Stage(grace=True)
    stage.feed(ev.PlainPeers(1))
    stage.ask("p", client=b"plain1")
    stage.ask("m", "h1", meta={"id": "early"}, client=b"early")
    one = Player(stage, offer(safe("m")), name="1", slots=2, ahead=2)
    two = Player(stage, offer("n", hosts=["h"]), name="2", hello=False)
    brought = held_run("brought", request_body("n"))
    two.hello(brought)
    stage.pass_time(2.1, alive=[one, two])
    body = request_body("m", meta={"id": "moved", "moved": True})
    stage.ask_raw(body, b"moved")
    held = held_run("moved", body)
    for query in stage.said(WhoHas, one.peer):
        if query.id == "moved":
            one.have(query, Possession.DONE, held, finished(held))
        else:
            one.have(query)
    for number in range(20):
        stage.ask("m", f"h{number}", client=b"c%d" % number, meta={"id": str(number), "age_ms": 0})
        stage.ask("n", "h", client=b"n%d" % number, meta={"deadline_ms": 100 * number})
        stage.ask("p", client=b"p%d" % number)
    for asked in stage.asked_plain[::2]:
        stage.feed(ev.PlainReply(asked.token, b"{}"))
    while one.inbox:
        one.done()
    one.dies()
    two.says(Results(1, 1, 0, [finished(brought)]))
    while two.inbox:
        two.done()
    stage.pass_time(200, alive=[two], step=0.5)
    assert stage.leftovers() == {}
    stage.pass_time(10)
    assert not stage.core.roster.workers
    stage.pass_time(40, step=0.5)
    assert stage.leftovers() == {}


def test_routes_that_are_used_are_not_swept() -> None:
    stage = Stage(route_memory_ms=1000)
    player = Player(stage)
    stage.ask(client=b"runs")
    stage.pass_time(20, alive=[player])
    assert list(stage.core.directory.routes) == [("m", None)]
    stage.ask(client=b"waits")
    player.done()
    player.done()
    assert stage.answer(b"runs")["success"] == stage.answer(b"waits")["success"] == 0


def test_a_route_that_was_swept_is_as_good_as_new() -> None:
    stage = Stage(route_memory_ms=1000)
    player = Player(stage, slots=0)
    stage.ask(meta={"deadline_ms": 100})
    stage.pass_time(10, alive=[player])
    assert not stage.core.directory.routes
    stage.replies.clear()
    stage.ask()
    player.heartbeat(slots=1)
    player.done()
    assert stage.answer()["success"] == 0


def test_the_same_events_give_the_same_actions() -> None:
    def trace() -> list[object]:
        stage, choice = Stage(), random.Random(7)
        players = [Player(stage, offer(safe("m")), name=str(n), slots=2) for n in range(3)]
        for number in range(300):
            player = choice.choice(players)
            if choice.random() < 0.5:
                stage.ask(client=b"%d" % (number % 5))
            elif player.inbox:
                player.done() if choice.random() < 0.7 else player.give_back(player.take())
            stage.pass_time(0.05, alive=players)
        return [*stage.replies, *stage.given, *stage.told]

    assert trace() == trace()
