"""A helper's text at the broker: for who asked for it, and for nobody else."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from tests.support.core import Player, Stage, offer, request_body
from vpoller_like.broker import events as ev
from vpoller_like.protocol.encoding import Encoding, decode_object
from vpoller_like.protocol.request import parse_head

TEXTS = [b"42", b"", b"poweredOn", "Zoë".encode(), b"42\0", b"]", b'{"data":[]}\0', b" ", b'"']


def asked(encoding: Encoding = Encoding.JSON, **more: Any) -> bytes:
    return request_body("m", encoding=encoding, **{"helper": "zabbix", **more})


def reply_to(
    body: bytes, text: bytes, code: str = "", index: int | None = None, **settings: Any
) -> bytes:
    stage = Stage(**settings)
    worker = Player(stage)
    stage.feed(ev.Request((b"c", b""), body, parse_head(body), "", index))
    worker.done(body=text, code=code)
    stage.check()
    assert not stage.core.dispatcher.live
    (reply,) = stage.replies
    assert reply.index == index
    return reply.body


@pytest.mark.parametrize("text", [*TEXTS, b'{"data":[]}'])
def test_who_asked_for_a_text_gets_it_to_the_letter(text: bytes) -> None:
    assert reply_to(asked(), text) == text


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    "request_fields",
    [
        {"helper": None},
        {"helper": ""},
        {"helper": "(null)"},
        {"helper": 7},
        {"meta": {}},
        {"meta": {"id": "a", "age_ms": 0}},
    ],
)
def test_everybody_else_gets_an_envelope(text: bytes, request_fields: dict[str, Any]) -> None:
    told = decode_object(reply_to(asked(**request_fields), text))
    assert told["error"]["code"] == "task_failed"
    assert "answered with something that is no JSON object" in told["msg"]


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"a\x80", b"\xed\xa0\x80"])
def test_a_text_is_utf_8_or_an_error(text: bytes) -> None:
    assert decode_object(reply_to(asked(), text))["error"]["code"] == "task_failed"


def test_messagepack_gets_a_string_and_nothing_else() -> None:
    request = asked(Encoding.MSGPACK)
    assert reply_to(request, msgpack.packb("42")) == msgpack.packb("42")
    for wrong in (b"42", b"", msgpack.packb(42), msgpack.packb("42") + b"x", msgpack.packb([])):
        told = msgpack.unpackb(reply_to(request, wrong))
        assert told["error"]["code"] == "task_failed"


def test_a_failure_may_be_a_text_too() -> None:
    assert (
        reply_to(asked(), b"Cannot find object vm01", "task_failed") == b"Cannot find object vm01"
    )


@pytest.mark.parametrize("encoding", list(Encoding))
def test_in_a_batch_a_text_is_the_result_of_an_envelope(encoding: Encoding) -> None:
    text = b"42" if encoding is Encoding.JSON else msgpack.packb("42")
    told = decode_object(reply_to(asked(encoding), text, index=3))
    assert told == {"success": 0, "msg": "Successfully ran the task", "result": "42"}
    told = decode_object(reply_to(asked(encoding), text, "task_failed", index=3))
    assert (told["success"], told["msg"], told["error"]["code"]) == (1, "42", "task_failed")


def test_an_envelope_around_a_text_makes_it_no_larger_than_allowed() -> None:
    text = b"\0" * 1500
    assert reply_to(asked(), text, max_reply=2000) == text
    told = decode_object(reply_to(asked(), text, index=3, max_reply=2000))
    assert told["error"]["code"] == "too_large"


def test_an_id_stands_for_one_helper() -> None:
    stage = Stage()
    worker = Player(stage)

    def ask(helper: str | None, age: int = 5) -> dict[str, Any]:
        body = asked(helper=helper, meta={"id": "a", "age_ms": age})
        stage.feed(ev.Request((b"c", b""), body, parse_head(body)))
        return decode_object(stage.replies[-1].body) if stage.replies else {}

    assert ask("zabbix", age=0) == {}
    assert ask("csv")["error"]["code"] == "id_reused"
    worker.done(body=b'{"success":0,"msg":"Done","result":"42"}')
    assert ask(None)["error"]["code"] == "id_reused"
    assert ask("zabbix")["result"] == "42"


def test_a_run_that_nobody_waits_for_may_end_in_a_text() -> None:
    stage = Stage()
    worker = Player(stage)
    stage.feed(ev.Request((b"c", b""), asked(), parse_head(asked())))
    task = worker.take()
    (live,) = stage.core.dispatcher.live.values()
    live.waiters.clear()
    worker.done(task, body=b"42")
    assert not stage.core.dispatcher.live


@pytest.mark.parametrize("unset", ["", "(null)", "null"])
def test_a_hostname_that_is_not_set_is_none(unset: str) -> None:
    stage = Stage()
    worker = Player(stage, offer("m", hosts=["vc01"]))
    stage.ask(hostname=unset)
    assert worker.take().hostname is None


def test_a_host_of_such_a_name_is_served() -> None:
    stage = Stage()
    other, named = (
        Player(stage, offer("m", hosts=["vc01"]), name="a"),
        Player(stage, offer("m", hosts=["null"]), name="b"),
    )
    for _ in range(3):
        stage.ask(hostname="null")
        named.done()
    assert not other.inbox
