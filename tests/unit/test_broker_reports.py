"""What the admin endpoint tells, and what it says to nonsense."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.support.core import Player, Stage, offer, request_body, safe
from vpoller_like import __version__
from vpoller_like.broker import compiled, reports
from vpoller_like.broker import events as ev
from vpoller_like.broker.admin import Admin
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import Encoding, decode_object, encoding_of
from vpoller_like.protocol.request import parse_head
from vpoller_like.transport import burst

ENDPOINTS = {"frontend": "tcp://127.0.0.1:1"}


class Desk:
    """An operator at the admin endpoint of ``stage``'s core."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.shutdowns = 0
        self._admin = Admin(stage.core, ENDPOINTS, self._shutdown, stage.feed)

    def _shutdown(self) -> None:
        self.shutdowns += 1

    def raw(self, body: bytes) -> bytes:
        request = ev.Request((b"op", b""), body, parse_head(body))
        reply = self._admin.answer(request, self._stage.now)
        assert reply.envelope == (b"op", b"")
        return reply.body

    def __call__(self, verb: str, **fields: Any) -> Any:
        reply = decode_object(self.raw(request_body(verb, **fields)))
        assert reply["success"] == 0, reply
        return reply["result"]

    def error(self, body: bytes) -> Any:
        reply = decode_object(self.raw(body))
        assert reply["success"] == 1
        return {**reply["error"], "msg": reply["msg"]}


def test_status_counts_what_waits_runs_and_is_remembered() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask(client=b"1", meta={"id": "x", "age_ms": 0})
    player.done()
    for _ in range(3):
        stage.ask()
    status = Desk(stage)("status")
    assert status["version"] == __version__
    assert (status["transport"], status["core"]) == (burst.KIND, compiled.TWINS.kind)
    assert status["endpoints"] == ENDPOINTS
    assert (status["workers"], status["running"], status["queued"]) == (1, 1, 2)
    assert status["queued_bytes"] == 2 * len(request_body())
    assert status["remembered"] == 1
    assert status["remembered_bytes"] > 0
    assert (status["counters"]["requests"], status["counters"]["replies"]) == (4, 1)
    assert status["limits"]["queue_length"] == stage.settings.queue_length
    assert not status["draining"]


def test_status_tells_of_a_drain() -> None:
    stage = Stage()
    stage.feed(ev.DrainAsked())
    assert Desk(stage)("status")["draining"] is True


def test_workers_are_told_with_what_they_hold() -> None:
    stage = Stage()
    Player(stage, offer("m", "n", hosts=["b", "a"]), name="second", slots=3, ahead=2)
    first = Player(stage, name="first", slots=2)
    for _ in range(2):
        stage.ask("m", "a")
    first.drain()
    stage.pass_time(0.5)
    one, two = Desk(stage)("workers")
    assert (one["label"], one["state"], one["hosts"]) == ("first", "draining", None)
    assert (two["label"], two["state"], two["hosts"]) == ("second", "ready", ["a", "b"])
    assert (two["methods"], two["slots"], two["ahead"]) == (2, 3, 2)
    assert one["held"] + two["held"] == 2
    assert 400 <= one["last_seen_ms"] <= 600


def test_workers_are_told_with_what_they_did() -> None:
    stage = Stage()
    player = Player(stage)
    stage.ask()
    player.give_back(player.take())
    player.done()
    (worker,) = Desk(stage)("workers")
    assert (worker["done"], worker["returned"], worker["held"]) == (1, 1, 0)


def test_methods_are_told_with_their_parameters() -> None:
    stage = Stage()
    param = wire.Param(name="p", type="string", required=True, doc="What.", default=None)
    method = wire.Method(name="m", retry_safe=True, timeout_ms=5, doc="Does it.", params=[param])
    Player(stage, offer(method, hosts=["h"]), name="1", slots=0)
    Player(stage, offer(method, hosts=["h"]), name="2", slots=0)
    Player(stage, offer("other"), name="3")
    stage.ask("m", "h")
    (told,) = Desk(stage)("methods", name="m")
    assert told == {
        "method": "m",
        "agent": "test",
        "hosts": ["h"],
        "retry_safe": True,
        "timeout_ms": 5,
        "doc": "Does it.",
        "params": [msgspec.structs.asdict(param)],
        "workers": 2,
        "queued": 1,
    }
    assert [entry["method"] for entry in Desk(stage)("methods")] == ["m", "other"]


def test_a_worker_is_counted_once_for_a_method_that_it_offers_for_several_hosts() -> None:
    stage = Stage()
    Player(stage, offer("m", hosts=["b"]), offer("m", hosts=["a"]))
    (told,) = Desk(stage)("methods")
    assert (told["workers"], told["hosts"]) == (1, ["a", "b"])


def test_a_method_that_is_served_for_any_host_somewhere_has_no_list_of_hosts() -> None:
    stage = Stage()
    Player(stage, offer("m", hosts=["b"]), name="1")
    Player(stage, offer("m"), name="2")
    (told,) = Desk(stage)("methods")
    assert (told["workers"], told["hosts"]) == (2, None)


def test_a_method_that_is_not_served_has_no_entry() -> None:
    assert Desk(Stage())("methods", name="nothing") == []


def test_shutdown_begins_a_drain_and_says_what_runs() -> None:
    stage = Stage()
    Player(stage, offer(safe("m")))
    stage.ask(client=b"runs")
    stage.ask(client=b"waits")
    desk = Desk(stage)
    assert desk("shutdown") == {"draining": True, "running": 2}
    assert desk.shutdowns == 1


def test_a_drain_is_a_shutdown() -> None:
    desk = Desk(Stage())
    assert desk("drain") == {"draining": True, "running": 0}
    assert desk.shutdowns == 1


@pytest.mark.parametrize("asked", ["node/2", "node/2/0", "node/2/1"])
def test_a_worker_is_drained_whole_and_no_other_one(asked: str) -> None:
    """A worker may be called as another's process is."""
    stage = Stage()
    zero, one = Player(stage, name="node/2/0"), Player(stage, name="node/2/1")
    Player(stage, name="node/2x/0")
    Player(stage, name="node")
    stage.ask()
    desk = Desk(stage)
    told = desk("worker.drain", name=asked)
    assert told == {"name": "node/2", "processes": ["node/2/0", "node/2/1"], "held": 1}
    shut = [tell.peer for tell in stage.told if type(tell.message) is wire.Shutdown]
    assert shut == [zero.peer, one.peer]
    # Asking again tells those alone that have come since.
    two = Player(stage, name="node/2/2")
    desk("worker.drain", name=asked)
    shut = [tell.peer for tell in stage.told if type(tell.message) is wire.Shutdown]
    assert shut == [zero.peer, one.peer, two.peer]
    states = {worker["label"]: worker["state"] for worker in desk("workers")}
    assert states == {
        "node": "ready",
        "node/2/0": "draining",
        "node/2/1": "draining",
        "node/2/2": "draining",
        "node/2x/0": "ready",
    }


def test_a_worker_that_is_told_to_drain_is_given_nothing_more() -> None:
    stage = Stage()
    leaving, staying = Player(stage, name="a/0"), Player(stage, name="b/0")
    Desk(stage)("worker.drain", name="a")
    for _ in range(3):
        stage.ask()
    assert not leaving.inbox
    staying.done()
    assert staying.inbox


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ({}, "invalid_params", "name: missing"),
        ({"name": 3}, "invalid_params", "name: expected a string, the worker to drain"),
        ({"name": "nod"}, "task_failed", "no worker nod is registered; did you mean node?"),
        ({"name": "zebra/0"}, "task_failed", "`vpoller workers` lists those that are"),
    ],
)
def test_a_worker_to_drain_must_be_named(fields: dict[str, Any], code: str, said: str) -> None:
    stage = Stage()
    Player(stage, name="node/0")
    error = Desk(stage).error(request_body("worker.drain", **fields))
    assert error["code"] == code
    assert said in error["msg"]
    assert not stage.said(wire.Shutdown)


def test_an_unknown_verb_is_answered_with_those_there_are() -> None:
    error = Desk(Stage()).error(b'{"method": "stauts"}')
    assert error["code"] == "unknown_method"
    assert "status, workers, methods, shutdown" in error["msg"]


@pytest.mark.parametrize("name", ["5", "[]", "{}", "true"])
def test_a_name_that_is_none_is_named(name: str) -> None:
    error = Desk(Stage()).error(b'{"method": "methods", "name": %s}' % name.encode())
    assert error["code"] == "invalid_params"
    assert error["msg"].startswith("name:")


@pytest.mark.parametrize(
    "body",
    [b'{"method": "status", "x": "\xff"}', b'{"method": "status", "x": 1e999}'],
)
def test_a_request_that_cannot_be_read_as_a_whole_is_refused_and_harms_nobody(
    body: bytes,
) -> None:
    """It ended the broker: only its head had been looked at."""
    error = Desk(Stage()).error(body)
    assert error["code"] == "bad_request"
    assert "not valid JSON" in error["msg"]


def test_an_admin_request_in_messagepack_is_answered_in_it() -> None:
    desk = Desk(Stage())
    body = desk.raw(request_body("status", meta={"id": "q"}, encoding=Encoding.MSGPACK))
    assert encoding_of(body) is Encoding.MSGPACK
    assert decode_object(body)["meta"] == {"id": "q"}


def test_an_answer_that_cannot_be_written_is_told_as_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reports, "workers", lambda *_: [object()])
    desk = Desk(Stage())
    error = desk.error(b'{"method": "workers"}')
    assert error["code"] == "task_failed"
    assert desk("status")["workers"] == 0
