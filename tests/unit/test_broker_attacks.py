"""What a worker claims that is not so: tasks of others, ids, numbers, offers, names."""

from __future__ import annotations

import logging

import msgspec
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
from vpoller_like.broker import events as ev
from vpoller_like.broker import reports
from vpoller_like.broker.routing import DEPARTED_BYTES, MANY_DEPARTED
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.limits import MAX_OFFERS

NEW = {"id": "x", "age_ms": 0}
BODY = request_body(meta=NEW)


def held_as(number: int, attempt: int, **fields: str) -> wire.Held:
    method = fields.get("method", "m")
    return wire.Held(number, attempt, method, None, "", fields.get("id"), None)


# Tasks of others -----------------------------------------------------------------------


def test_a_result_for_another_workers_task_is_dropped() -> None:
    stage = Stage()
    owner, thief = Player(stage, name="owner"), Player(stage, name="thief", slots=0)
    stage.ask()
    task = owner.take()
    thief.done(task, result="stolen")
    assert stage.counters["late_results"] == 1
    owner.done(task, result="right")
    assert stage.answer()["result"] == "right"


def test_a_result_for_a_task_that_was_never_given_is_dropped() -> None:
    stage = Stage()
    worker = Player(stage, slots=0)
    stage.ask()
    queued = next(iter(stage.core.dispatcher.live))
    for number in (queued, queued + 1, 0, (1 << 63) - 1):
        worker.says(wire.Results(1, 0, 0, [wire.Result(number, 1, "", 1, b'{"success":0}')]))
        worker.says(wire.Results(1, 0, 0, [wire.Result(number, 0, "", 1, b'{"success":0}')]))
    stage.check()
    assert not stage.replies
    worker.heartbeat(slots=1)
    worker.done(result="right")
    assert stage.answer()["result"] == "right"


def test_returning_another_workers_task_changes_nothing() -> None:
    stage = Stage()
    owner, thief = Player(stage, name="owner"), Player(stage, name="thief", slots=0)
    stage.ask()
    task = owner.take()
    thief.give_back(task)
    assert stage.counters["returned"] == 0
    owner.done(task, result="right")
    assert stage.answer()["result"] == "right"


def test_claiming_to_hold_another_workers_task_does_not_move_it() -> None:
    stage = Stage()
    owner = Player(stage, name="owner")
    stage.ask()
    task = owner.take()
    thief = Player(stage, name="thief", slots=0, hello=False)
    thief.hello(holding(task))
    assert stage.said(wire.Cancel, thief.peer) == [
        wire.Cancel([wire.Attempt(task.task, task.attempt)])
    ]
    thief.done(task, result="stolen")
    owner.done(task, result="right")
    assert stage.answer()["result"] == "right"


def test_a_task_that_waits_and_was_never_given_cannot_be_claimed_by_its_number() -> None:
    stage = Stage()
    Player(stage, name="busy", slots=0)
    stage.ask()
    number = next(iter(stage.core.dispatcher.live))
    thief = Player(stage, name="thief", slots=0, hello=False)
    thief.hello(held_as(number, 0))
    thief.says(wire.Results(1, 0, 0, [wire.Result(number, 0, "", 1, b'{"success":0}')]))
    assert not stage.replies
    stage.check()


@pytest.mark.parametrize("by", ["number", "id", "id under a method that is served"])
def test_a_waiting_task_cannot_be_claimed_by_who_does_not_serve_its_method(by: str) -> None:
    stage = Stage()
    honest = Player(stage, name="honest")
    stage.ask(meta=NEW)
    task = honest.take()
    honest.give_back(task, slots=0)
    thief = Player(stage, offer("other"), name="thief", slots=0, hello=False)
    method = "m" if by == "id" else "other"
    claim = holding(task) if by == "number" else held_run("x", BODY, method=method)
    thief.hello(claim)
    thief.says(wire.Results(1, 0, 0, [wire.Result(claim.task, claim.attempt, "", 1, b"{}")]))
    assert not stage.replies
    honest.heartbeat(slots=1)
    honest.done(result="right")
    assert stage.answer()["result"] == "right"


def test_who_does_not_serve_a_method_cannot_answer_for_an_id_beforehand() -> None:
    stage = Stage()
    thief = Player(stage, offer("other"), name="thief", hello=False)
    claim = held_run("x", BODY)
    thief.hello(claim)
    thief.says(wire.Results(1, 1, 0, [finished(claim, "poison")]))
    honest = Player(stage, name="honest")
    stage.ask(meta=NEW)
    honest.done(result="right")
    assert stage.answer()["result"] == "right"


def test_who_does_not_serve_a_host_cannot_take_up_what_waits_for_it() -> None:
    stage = Stage()
    honest = Player(stage, offer("m", hosts=["h1"]), name="honest")
    stage.ask(hostname="h1", meta=NEW)
    task = honest.take()
    honest.give_back(task, slots=0)
    thief = Player(stage, offer("m", hosts=["h2"]), name="thief", slots=0, hello=False)
    thief.hello(holding(task))
    thief.done(task, result="stolen")
    assert not stage.replies


# Ids and questions ---------------------------------------------------------------------


def test_have_for_a_question_that_was_never_asked_is_nothing() -> None:
    stage = Stage()
    worker = Player(stage)
    stage.ask(meta=NEW)
    task = worker.take()
    claim = held_run("x", BODY)
    for query in (task.task, 0, (1 << 63) - 1):
        worker.says(wire.Have(query, wire.Possession.DONE, claim, finished(claim, "poison")))
        worker.says(wire.Have(query, wire.Possession.OTHER))
    stage.check()
    worker.done(task, result="right")
    assert stage.answer()["result"] == "right"


def test_have_from_a_worker_that_was_not_asked_is_nothing() -> None:
    stage = Stage(start=100.0)
    asked = Player(stage, safe_offer(), name="asked")
    other = Player(stage, offer("other"), name="other")
    stage.ask(meta={"id": "x", "moved": True})
    query = asked.asked()
    claim = held_run("x", request_body(meta={"id": "x"}))
    other.have(query, wire.Possession.DONE, claim, finished(claim, "poison"))
    assert not stage.replies
    asked.have(query)
    asked.done(result="right")
    assert stage.answer()["result"] == "right"


def safe_offer() -> wire.Offer:
    return offer(safe("m"))


# Another worker's name -----------------------------------------------------------------


def test_a_worker_whose_instance_was_taken_gets_its_place_back_with_its_next_word() -> None:
    stage = Stage()
    owner = Player(stage, safe_offer(), name="owner")
    thief = Player(stage, offer("other"), name="owner")
    assert owner.record.peer == thief.peer
    owner.heartbeat()
    assert stage.said(wire.Resync, owner.peer)
    owner.hello()
    stage.ask()
    owner.done(result="right")
    assert stage.answer()["result"] == "right"
    # And the thief is a stranger from then on.
    thief.done(wire.Assignment(1, 1, "m", None, "", None, None, b"{}"), result="stolen")
    assert stage.said(wire.Resync, thief.peer)
    stage.check()


def test_an_instance_is_a_secret_that_the_admin_endpoint_does_not_tell() -> None:
    stage = Stage()
    player = Player(stage)
    told = msgspec.json.encode([reports.workers(stage.core, 0.0), reports.methods(stage.core)])
    assert player.instance.encode() not in told


def test_what_is_said_of_others_goodbye_is_said_of_oneself() -> None:
    stage = Stage()
    honest = Player(stage, name="honest")
    for message in (wire.Drain(), wire.Bye(), wire.Drain()):
        stage.feed(ev.WorkerSays(b"stranger", message))
    stage.ask()
    honest.done(result="right")
    assert stage.answer()["result"] == "right"


def test_many_hellos_from_one_connection_leave_one_worker() -> None:
    stage = Stage()
    for number in range(50):
        player = Player(stage, offer(f"m{number}"), name=f"w{number}", hello=False)
        player.peer = b"one"
        player.hello()
    assert [w.label for w in stage.core.roster.workers.values()] == ["w49"]
    stage.check()


# Grants and offers ---------------------------------------------------------------------


def test_the_largest_grant_takes_what_there_is_and_gives_it_back_when_lost() -> None:
    stage = Stage()
    hoarder = Player(stage, safe_offer(), name="hoarder", slots=1 << 20, ahead=1 << 20)
    for number in range(200):
        stage.ask(client=b"%d" % number)
    assert len(hoarder.inbox) == 200
    hoarder.dies()
    honest = Player(stage, safe_offer(), name="honest", slots=200)
    for _ in range(200):
        honest.done()
    assert all(stage.answers(b"%d" % n)[0]["success"] == 0 for n in range(200))
    stage.check()


def test_a_hundred_thousand_methods_are_too_many(caplog: pytest.LogCaptureFixture) -> None:
    stage = Stage()
    greedy = Player(stage, offer(*(f"m{n}" for n in range(100_000))), name="greedy")
    assert stage.said(wire.Refused, greedy.peer)
    assert not stage.core.roster.workers
    assert not list(stage.core.directory.pools)
    assert str(MAX_OFFERS) in caplog.text


def test_workers_that_come_and_go_with_ever_new_offers_leave_a_bounded_trace() -> None:
    stage = Stage()
    for number in range(MANY_DEPARTED + 200):
        Player(stage, offer(f"m{number}"), name=f"w{number}").bye()
    assert len(stage.core.directory._departed) == MANY_DEPARTED
    for number in range(20):
        hosts = [f"{number}-{host}" for host in range(60_000)]
        Player(stage, offer("m", hosts=hosts), name=f"w{number}").bye()
    departed = stage.core.directory._departed
    assert 0 < sum(map(len, departed)) <= DEPARTED_BYTES
    assert stage.core.directory._departed_bytes == sum(map(len, departed))
    stage.pass_time(60, step=1)
    assert stage.core.directory._departed_bytes == 0


def test_a_departed_kind_of_worker_that_returns_is_counted_once() -> None:
    stage = Stage()
    for _ in range(5):
        Player(stage).bye()
    directory = stage.core.directory
    assert directory._departed_bytes == sum(map(len, directory._departed))


def test_a_label_cannot_write_lines_into_the_log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    stage = Stage()
    player = Player(stage, name="w\n2026-01-01 00:00:00 INFO forged\x1b[2J")
    stage.ask(meta=NEW)
    player.done()
    player.dies()
    Player(stage, name="v\nforged", hello=False).hello(version=7)
    assert all("\n" not in r.getMessage() and "\x1b" not in r.getMessage() for r in caplog.records)
    assert "\x1b" not in stage.answer()["meta"]["worker"]
