"""One id, one run: joined while it runs, remembered when it has."""

from __future__ import annotations

import pytest

from tests.support.core import Player, Stage, held_run, offer, request_body, safe
from vpoller_like.broker import events as ev
from vpoller_like.broker import reports
from vpoller_like.broker.figures import REMEMBERED_BYTES
from vpoller_like.errors import InvalidParams, TaskFailed
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import Encoding, decode_object, encoding_of
from vpoller_like.protocol.reply import failure
from vpoller_like.protocol.request import parse_head

NEW = {"id": "x", "age_ms": 0}


def ran_once(stage: Stage, meta: dict[str, object] | None = None) -> Player:
    """A worker that has answered the request with id x."""
    player = Player(stage)
    stage.ask(client=b"first", meta=dict(meta or NEW))
    player.done(result="once")
    stage.answer(b"first")
    return player


def test_the_same_id_joins_the_running_task() -> None:
    stage = Stage()
    player = Player(stage, slots=9)
    for client in (b"1", b"2", b"3"):
        stage.ask(client=client, meta={**NEW, "deadline_ms": 1000})
    player.done(result="shared")
    assert not player.inbox
    for client in (b"1", b"2", b"3"):
        reply = stage.answer(client)
        assert (reply["result"], reply["meta"]["id"]) == ("shared", "x")
    assert stage.counters["joined"] == 2


def test_the_same_id_joins_the_task_that_waits() -> None:
    stage = Stage()
    player = Player(stage, slots=0)
    stage.ask(client=b"1", meta=NEW)
    stage.ask(client=b"2", meta=NEW)
    player.heartbeat(slots=5)
    player.done()
    assert not player.inbox
    assert stage.answer(b"1")["success"] == stage.answer(b"2")["success"] == 0


def test_the_same_id_gets_the_remembered_reply() -> None:
    stage = Stage()
    player = ran_once(stage)
    stage.ask(meta={"id": "x", "age_ms": 500})
    reply = stage.answer()
    assert reply["result"] == "once"
    assert reply["meta"]["worker"] == "w"
    assert not player.inbox
    assert stage.counters["recalled"] == 1


def test_a_reply_is_remembered_while_the_broker_drains() -> None:
    stage = Stage()
    ran_once(stage)
    stage.feed(ev.DrainAsked())
    stage.ask(meta={"id": "x"})
    assert stage.answer()["result"] == "once"


def test_a_reply_is_forgotten_after_its_time() -> None:
    stage = Stage(remember_ms=10_000)
    player = ran_once(stage)
    stage.pass_time(9.9, alive=[player])
    assert len(stage.core.memory) == 1
    stage.pass_time(0.2, alive=[player])
    assert len(stage.core.memory) == 0
    assert stage.core.memory.bytes == 0


def test_the_memory_is_bounded_by_bytes_and_the_oldest_go_first() -> None:
    stage = Stage(remember_bytes=10 * (REMEMBERED_BYTES + 2000))
    player = Player(stage)
    for number in range(30):
        stage.ask(meta={"id": str(number), "age_ms": 0})
        player.done(result="x" * 1900)
    stage.replies.clear()
    assert stage.core.memory.bytes <= 10 * (REMEMBERED_BYTES + 2000)
    stage.ask(client=b"young", meta={"id": "29", "age_ms": 0})
    stage.ask(client=b"old", meta={"id": "0", "age_ms": 0})
    assert stage.answer(b"young")["success"] == 0
    assert len(player.inbox) == 1


def test_another_body_under_a_running_id_is_refused() -> None:
    stage = Stage()
    Player(stage)
    stage.ask(client=b"1", meta=NEW, data=1)
    stage.ask(client=b"2", meta=NEW, data=2)
    error = stage.error(b"2")
    assert error["code"] == "id_reused"
    assert not error["retryable"]
    assert "'x'" in error["msg"]
    assert not stage.answers(b"1")


def test_another_body_under_a_remembered_id_is_refused() -> None:
    stage = Stage()
    ran_once(stage)
    stage.ask("other.method", meta=NEW)
    assert stage.error()["code"] == "id_reused"


def test_the_same_body_written_otherwise_is_the_same_request() -> None:
    stage = Stage()
    player = Player(stage, slots=2)
    stage.ask_raw(b'{"method":"m","a":1,"b":[2],"meta":{"id":"x","age_ms":0}}', b"1")
    stage.ask_raw(
        b' {"meta": {"id": "x", "priority": 9}, "b": [ 2 ], "a": 1, "method": "m"} ', b"2"
    )
    assert len(player.inbox) == 1
    player.done()
    assert stage.answer(b"1")["success"] == stage.answer(b"2")["success"] == 0


def test_the_same_body_in_the_other_encoding_is_another_request() -> None:
    stage = Stage()
    Player(stage)
    stage.ask(client=b"1", meta=NEW)
    stage.ask(client=b"2", meta=NEW, encoding=Encoding.MSGPACK)
    assert stage.error(b"2")["code"] == "id_reused"


@pytest.mark.parametrize("encoding", Encoding)
def test_a_reply_is_remembered_as_it_was_written(encoding: Encoding) -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask(client=b"1", meta=NEW, encoding=encoding)
    player.done(result={"a": [1, None]})
    stage.ask(client=b"2", meta=NEW, encoding=encoding)
    for reply in stage.replies:
        assert encoding_of(reply.body) is encoding
    assert stage.answer(b"1") == stage.answer(b"2")


def test_a_principals_ids_are_its_own() -> None:
    stage = Stage()
    player = Player(stage, slots=2)
    body = request_body(meta=NEW)
    for client, principal in ((b"1", "ann"), (b"2", "bob")):
        stage.feed(ev.Request((client, b""), body, parse_head(body), principal))
    assert {task.principal for task in player.inbox} == {"ann", "bob"}


@pytest.mark.parametrize(
    ("code", "remembered"),
    [
        ("", True),
        ("invalid_params", True),
        ("task_failed", True),
        ("worker_lost", True),
        ("too_large", True),
        ("busy", False),
        ("something_new", False),
    ],
)
def test_what_an_id_got_is_remembered_by_its_code(code: str, remembered: bool) -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask(client=b"1", meta=NEW)
    body = failure(TaskFailed("x")) if code != "invalid_params" else failure(InvalidParams("x"))
    player.done(code=code, body=body)
    stage.ask(client=b"2", meta=NEW)
    assert bool(stage.answers(b"2")) is remembered
    assert bool(player.inbox) is not remembered


def test_busy_is_each_ones_own_and_not_remembered() -> None:
    stage = Stage(queue_length=1)
    player = Player(stage, slots=0)
    stage.ask(client=b"1")
    stage.ask(client=b"2", meta=NEW)
    assert stage.error(b"2")["code"] == "busy"
    player.heartbeat(slots=9)
    stage.ask(client=b"2", meta=NEW)
    player.done()
    player.done()
    assert stage.answer(b"2")["success"] == 0


def test_a_request_refused_at_its_deadline_may_be_sent_again() -> None:
    stage = Stage()
    player = Player(stage, slots=0)
    stage.ask(meta={**NEW, "deadline_ms": 100})
    stage.pass_time(0.2)
    assert stage.error()["code"] == "deadline"
    player.heartbeat(slots=1)
    stage.ask(meta=NEW)
    player.done()
    assert stage.answer()["success"] == 0


def test_worker_lost_is_final_for_its_id() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask(client=b"1", meta=NEW)
    player.dies()
    assert stage.error(b"1")["code"] == "worker_lost"
    other = Player(stage, name="2")
    stage.ask(client=b"2", meta=NEW)
    assert stage.error(b"2")["code"] == "worker_lost"
    assert not other.inbox


def test_only_so_many_may_wait_for_one_id() -> None:
    stage = Stage(max_waiters=3)
    player = Player(stage)
    for number in range(4):
        stage.ask(client=b"%d" % number, meta=NEW)
    assert stage.error(b"3")["code"] == "busy"
    assert stage.counters["busy"] == 1
    player.done()
    assert len(stage.replies) == 3
    assert reports.status(stage.core, {}, stage.now)["limits"]["max_waiters"] == 3


@pytest.mark.parametrize(
    "body",
    [
        b'{"method": "m", "meta": {"id": "x"}, "a": "\xff"}',
        b'{"method": "m", "meta": {"id": "x"}, "a": 1e999}',
        b"\x83\xa6method\xa1m\xa4meta\x81\xa2id\xa1x\xa2at\xd6\xff\x00\x00\x00\x01",
    ],
)
def test_a_body_with_an_id_that_cannot_be_compared_is_a_bad_request(body: bytes) -> None:
    stage = Stage()
    Player(stage)
    stage.ask_raw(body)
    assert stage.error()["code"] == "bad_request"


def test_a_request_without_meta_gets_none_back() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask()
    player.done()
    assert "meta" not in stage.answer()
    stage.ask("unknown")
    assert "meta" not in stage.answer()


def test_a_request_with_meta_gets_it_back_with_an_error_too() -> None:
    stage = Stage()
    Player(stage)
    stage.ask("unknown", meta={"id": "q"})
    assert stage.answer()["meta"] == {"id": "q"}


def test_a_lost_run_that_a_worker_brought_along_is_told_in_the_encoding_of_who_asks() -> None:
    """The reply was written as JSON, and adding meta as MessagePack ended the broker."""
    stage = Stage()
    body = request_body(meta=NEW, encoding=Encoding.MSGPACK)
    player = Player(stage, hello=False)
    player.hello(held_run("x", body))
    player.dies()
    stage.ask_raw(body)
    assert encoding_of(stage.replies[0].body) is Encoding.MSGPACK
    reply = stage.answer()
    assert reply["error"]["code"] == "worker_lost"
    assert reply["meta"]["id"] == "x"


def test_a_remembered_reply_that_cannot_be_rewritten_is_told_as_a_failure() -> None:
    stage = Stage()
    body = request_body(meta=NEW, encoding=Encoding.MSGPACK)
    held = held_run("x", body)
    player = Player(stage, hello=False)
    player.hello(held)
    item = wire.Result(held.task, held.attempt, "", 1, b"{not json}")
    player.says(wire.Results(1, 1, 0, [item]))
    stage.ask_raw(body)
    assert stage.error()["code"] == "task_failed"


def test_a_run_that_a_worker_brought_along_is_given_again_if_it_may_run_twice() -> None:
    stage = Stage()
    body = request_body(meta=NEW)
    player = Player(stage, offer(safe("m")), hello=False)
    player.hello(held_run("x", body))
    stage.ask_raw(body)
    player.dies()
    other = Player(stage, offer(safe("m")), name="2")
    assert other.inbox[0].body == body
    other.done()
    assert decode_object(stage.replies[0].body)["success"] == 0
