"""Methods that no registered worker serves go to plain REP workers, where there are some."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from tests.support.core import Player, Stage, offer, request_body
from vpoller_like.broker import events as ev
from vpoller_like.broker import reports
from vpoller_like.protocol.encoding import Encoding, encoding_of

NEW = {"id": "x", "age_ms": 0}


def plain_stage(**settings: Any) -> Stage:
    stage = Stage(**settings)
    stage.feed(ev.PlainPeers(1))
    return stage


def reply(stage: Stage, body: bytes, token: bytes | None = None) -> None:
    stage.feed(ev.PlainReply(token or stage.asked_plain[-1].token, body))


def test_a_method_that_no_worker_knows_goes_to_a_plain_worker_as_it_came() -> None:
    stage = plain_stage()
    stage.ask_raw(b'{"method": "p",  "x": 1}')
    assert [asked.body for asked in stage.asked_plain] == [b'{"method": "p",  "x": 1}']


def test_a_method_that_a_worker_knows_does_not() -> None:
    stage = plain_stage()
    player = Player(stage, slots=0)
    stage.ask()
    assert not stage.asked_plain
    player.heartbeat(slots=1)
    assert player.inbox


def test_an_unknown_host_of_a_known_method_does_not() -> None:
    stage = plain_stage()
    Player(stage, offer("m", hosts=["x"]))
    stage.ask("m", "y")
    assert stage.error()["code"] == "unknown_host"


def test_without_plain_workers_the_method_is_unknown() -> None:
    stage = plain_stage()
    stage.feed(ev.PlainPeers(0))
    stage.ask("p")
    assert stage.error()["code"] == "unknown_method"


@pytest.mark.parametrize("body", [b'{"any": "thing"}', b"[1, 2]", b"not json", b"", b"\0\xff"])
def test_the_reply_is_the_plain_workers_own_to_the_letter(body: bytes) -> None:
    stage = plain_stage()
    stage.ask("p", meta={"priority": 3})
    reply(stage, body)
    assert [r.body for r in stage.replies] == [body]


@pytest.mark.parametrize("body", [b'{"any": "thing"}', b"[1, 2]", b"not json", b""])
def test_a_remembered_reply_is_it_too(body: bytes) -> None:
    """Meta was added to it, which made nonsense of whatever is no object."""
    stage = plain_stage()
    stage.ask("p", client=b"1", meta=NEW)
    reply(stage, body)
    stage.ask("p", client=b"2", meta=NEW)
    assert [r.body for r in stage.replies] == [body, body]
    assert len(stage.asked_plain) == 1


def test_each_request_has_a_token_and_gets_the_reply_to_it() -> None:
    stage = plain_stage()
    stage.ask("p", client=b"1")
    stage.ask("p", client=b"2")
    one, two = (asked.token for asked in stage.asked_plain)
    reply(stage, b'{"n": 2}', two)
    reply(stage, b'{"n": 1}', one)
    assert stage.answer(b"1") == {"n": 1}
    assert stage.answer(b"2") == {"n": 2}


def test_a_second_request_with_the_id_joins() -> None:
    stage = plain_stage()
    stage.ask("p", client=b"1", meta=NEW)
    stage.ask("p", client=b"2", meta=NEW)
    reply(stage, b"{}")
    assert len(stage.asked_plain) == 1
    assert len(stage.replies) == 2


def test_a_reply_under_an_unknown_token_is_dropped() -> None:
    stage = plain_stage()
    stage.ask("p")
    reply(stage, b"{}", b"forged")
    assert not stage.replies
    assert stage.counters["late_results"] == 1


def test_plain_workers_that_are_full_make_the_request_busy() -> None:
    stage = plain_stage()
    stage.ask("p")
    token = stage.asked_plain[0].token
    stage.feed(ev.PlainRefused(token))
    error = stage.error()
    assert error["code"] == "busy"
    assert error["retry_after_ms"] > 0
    stage.feed(ev.PlainRefused(token))
    reply(stage, b"{}", token)
    assert not stage.replies
    stage.check()


def test_a_plain_worker_that_does_not_answer_is_given_up_at_the_requests_deadline() -> None:
    stage = plain_stage()
    stage.ask("p", meta={"deadline_ms": 500})
    stage.pass_time(0.6)
    error = stage.error()
    assert error["code"] == "deadline"
    assert "may have run" in error["msg"]
    reply(stage, b"{}")
    assert not stage.replies
    stage.check()


def test_what_a_plain_worker_may_have_run_is_not_said_to_be_safe_to_send_again() -> None:
    stage = plain_stage()
    stage.ask("p", meta={"deadline_ms": 500})
    stage.pass_time(0.6)
    assert stage.error()["retryable"] is False


def test_a_plain_worker_has_no_longer_than_the_setting_says() -> None:
    stage = plain_stage(plain_timeout_ms=1000)
    stage.ask("p")
    stage.pass_time(0.95)
    assert not stage.replies
    stage.pass_time(0.15)
    assert stage.error()["code"] == "deadline"


def test_messagepack_is_written_as_json_for_a_plain_worker_and_back() -> None:
    stage = plain_stage()
    stage.ask("p", encoding=Encoding.MSGPACK, data=[1, "é"])
    assert stage.asked_plain[0].body == '{"method":"p","data":[1,"é"]}'.encode()
    reply(stage, b'{"success": 0, "result": [1]}')
    assert encoding_of(stage.replies[0].body) is Encoding.MSGPACK
    assert stage.answer() == {"success": 0, "result": [1]}


@pytest.mark.parametrize("body", [b"", b"[1]", b"not json", b'{"n": 99999999999999999999999}'])
def test_a_reply_that_cannot_be_messagepack_is_told_as_a_failure(body: bytes) -> None:
    stage = plain_stage()
    stage.ask("p", encoding=Encoding.MSGPACK)
    reply(stage, body)
    assert stage.error()["code"] == "task_failed"


def test_a_request_that_cannot_be_json_is_refused_and_harms_nobody() -> None:
    """It ended the broker."""
    stage = plain_stage()
    stage.ask_raw(msgpack.packb({"method": "p", "at": msgpack.Timestamp(1, 2)}))
    error = stage.error()
    assert error["code"] == "bad_request"
    assert "JSON" in error["msg"]
    assert not stage.asked_plain
    stage.check()


def test_what_came_in_the_grace_is_offered_to_plain_workers_when_it_ends() -> None:
    stage = Stage(grace=True)
    stage.feed(ev.PlainPeers(1))
    stage.ask("p")
    assert not stage.asked_plain
    stage.pass_time(2.1)
    assert len(stage.asked_plain) == 1
    reply(stage, b"{}")
    assert len(stage.replies) == 1
    stage.check()


def test_what_came_in_the_grace_is_offered_to_a_plain_worker_that_comes_later() -> None:
    stage = Stage(grace=True)
    stage.ask("p")
    stage.pass_time(3)
    assert not stage.asked_plain
    stage.feed(ev.PlainPeers(1))
    assert len(stage.asked_plain) == 1
    stage.check()


def test_what_waits_for_workers_that_restart_is_not_offered_to_plain_ones() -> None:
    stage = plain_stage()
    player = Player(stage)
    player.bye()
    stage.ask()
    stage.feed(ev.PlainPeers(2))
    assert not stage.asked_plain
    player.hello(new_peer=True)
    assert player.inbox


def test_plain_workers_remember_no_ids_and_the_reply_says_so() -> None:
    stage = plain_stage()
    stage.ask("p", meta={"id": "x", "moved": True})
    error = stage.error()
    assert error["code"] == "worker_lost"
    assert "plain" in error["msg"]
    assert not stage.asked_plain
    stage.check()


def test_nor_do_they_in_the_grace() -> None:
    stage = Stage(grace=True)
    stage.feed(ev.PlainPeers(1))
    stage.ask_raw(request_body("p", meta={"id": "x", "moved": True}))
    stage.pass_time(2.1)
    error = stage.error()
    assert error["code"] == "worker_lost"
    assert "plain" in error["msg"]


def test_a_plain_method_that_a_worker_begins_to_serve_goes_there() -> None:
    stage = plain_stage()
    stage.ask("p", client=b"1")
    player = Player(stage, offer("p"))
    stage.ask("p", client=b"2")
    assert len(stage.asked_plain) == 1
    player.done()
    assert stage.answer(b"2")["success"] == 0
    reply(stage, b"{}")
    assert stage.answer(b"1") == {}


def test_what_a_plain_worker_has_is_counted_and_its_body_is_not_kept() -> None:
    """Bodies that no limit counted were kept for as long as plain workers took."""
    stage = plain_stage()
    stage.ask("p", client=b"1", data="x" * 10_000)
    stage.ask("p", client=b"2")
    (task, _) = stage.core.dispatcher.live.values()
    assert not task.body
    assert reports.status(stage.core, {}, stage.now)["plain"] == 2
    reply(stage, b'{"success": 0}', stage.asked_plain[0].token)
    assert reports.status(stage.core, {}, stage.now)["plain"] == 1
    stage.check()


def test_who_joins_a_plain_workers_task_has_his_own_time_but_no_more_than_it_may_take() -> None:
    stage = plain_stage(plain_timeout_ms=5000)
    for client, deadline in ((b"hasty", 500), (b"patient", 2000)):
        stage.ask("p", client=client, meta=NEW | {"deadline_ms": deadline})
    stage.pass_time(1.0)
    assert not stage.replies
    stage.ask("p", client=b"late", meta=NEW | {"deadline_ms": 60_000})
    stage.pass_time(3.5)
    assert not stage.replies
    stage.pass_time(1.0)
    assert stage.error(b"late")["code"] == "deadline"
    assert len(stage.replies) == 2
