"""What one principal, one id or one worker can take of the broker, and what it cannot."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from tests.support.core import Player, Stage, held_run, offer, request_body, safe
from vpoller_like.broker import events as ev
from vpoller_like.broker import reports, watch
from vpoller_like.broker import server as serving
from vpoller_like.broker.dispatcher import OVERHEAD
from vpoller_like.broker.intake import read
from vpoller_like.broker.quota import Quota
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import decode_object
from vpoller_like.protocol.limits import MAX_ENVELOPE_BYTES
from vpoller_like.protocol.reply import success
from vpoller_like.protocol.request import parse_head

#: Not to be found in the lines of source that a traceback shows.
SECRET = "canary"[:5] + "ies"
MOVED = {"id": "x", "moved": True}


# Requests under way --------------------------------------------------------------------


def test_one_connection_may_have_so_many_requests_under_way_and_no_more() -> None:
    stage = Stage(max_in_flight=3)
    player = Player(stage, slots=1)
    for _ in range(5):
        stage.ask(client=b"greedy")
    stage.ask(client=b"modest")
    refused = stage.answers(b"greedy")
    assert [reply["error"]["code"] for reply in refused] == ["busy", "busy"]
    assert all(reply["error"]["retry_after_ms"] > 0 for reply in refused)
    assert not stage.answers(b"modest")
    player.done()
    stage.ask(client=b"greedy")
    assert len(stage.answers(b"greedy")) == 3
    stage.check()


def test_with_keys_the_principal_counts_and_not_its_connections() -> None:
    stage = Stage(max_in_flight=2)
    Player(stage, slots=0)
    body = request_body()
    head = parse_head(body)
    for number in range(3):
        stage.feed(ev.Request((b"%d" % number, b""), body, head, "alice"))
    # Who calls himself so without a key is somebody else.
    stage.feed(ev.Request((b"alice", b""), body, head))
    assert [r.envelope[0] for r in stage.replies] == [b"2"]
    assert stage.error(b"2")["code"] == "busy"


def test_who_joins_a_task_has_a_request_under_way_too() -> None:
    stage = Stage(max_in_flight=1)
    player = Player(stage, slots=1)
    stage.ask(client=b"a", meta={"id": "x", "age_ms": 0})
    stage.ask(client=b"b")
    stage.ask(client=b"b", meta={"id": "x", "age_ms": 0})
    assert stage.error(b"b")["code"] == "busy"
    stage.ask(client=b"c", meta={"id": "x", "age_ms": 0})
    player.done()
    assert stage.answer(b"c")["success"] == 0
    player.done()
    assert not stage.core.dispatcher.quota


def test_what_is_remembered_is_given_to_who_has_too_much_under_way_as_well() -> None:
    stage = Stage(max_in_flight=1)
    player = Player(stage, slots=1)
    stage.ask(client=b"a", meta={"id": "x", "age_ms": 0})
    player.done()
    stage.ask(client=b"b")
    stage.ask(client=b"b", meta={"id": "x", "age_ms": 0})
    assert stage.answer(b"b")["success"] == 0


# Bytes that wait -----------------------------------------------------------------------


def test_one_connection_cannot_take_all_bytes_from_the_others() -> None:
    """Whoever came first with large requests had the others told busy for as long."""
    stage = Stage(queue_bytes=100 << 10)
    Player(stage, slots=0)
    for _ in range(200):
        stage.ask(client=b"greedy", data="x" * 2000)
    kept = 200 - len(stage.answers(b"greedy"))
    assert 10 < kept < 20
    stage.ask(client=b"modest", data="x" * 2000)
    assert not stage.answers(b"modest")
    assert "leaves free" in stage.answers(b"greedy")[0]["msg"]
    stage.check()


def test_where_nothing_waits_one_request_may_however_large_it_is() -> None:
    quota = Quota(10, 1000)
    assert quota.has_room(b"a", 5000)
    quota.hold(b"a", 5000)
    assert not quota.has_room(b"b", 1)
    quota.release(b"a", 5000)
    assert not quota


def test_every_newcomer_finds_room_beside_those_that_take_what_they_can() -> None:
    quota = Quota(10, 1 << 20)
    for share in (b"a", b"b", b"c", b"d"):
        held = 0
        while quota.has_room(share, 1024):
            quota.hold(share, 1024)
            held += 1
        assert held > 30, share


# Looking for ids -----------------------------------------------------------------------


def test_searches_for_ids_are_bounded() -> None:
    """One request that says it has moved costs a question to each worker of its method."""
    stage = Stage(max_searches=20)
    players = [Player(stage, offer(safe("m")), name=str(number)) for number in range(4)]
    for number in range(50):
        stage.ask(client=b"%d" % number, meta={"id": f"x{number}", "moved": True})
    assert len(stage.said(wire.WhoHas)) <= 20
    refused = [stage.error(b"%d" % n) for n in range(50) if stage.answers(b"%d" % n)]
    assert {error["code"] for error in refused} == {"busy"}
    assert all(error["retry_after_ms"] > 0 for error in refused)
    for player in players:
        for query in stage.said(wire.WhoHas, player.peer):
            player.have(query)
    assert stage.core.seekers.load == 0
    stage.ask(client=b"later", meta=MOVED)
    assert not stage.answers(b"later")
    stage.check()


def test_a_single_search_is_made_however_many_workers_there_are() -> None:
    stage = Stage(max_searches=2)
    for number in range(4):
        Player(stage, name=str(number))
    stage.ask(meta=MOVED)
    assert len(stage.said(wire.WhoHas)) == 4


def test_the_questions_of_a_search_that_ends_early_do_not_count_any_more() -> None:
    stage = Stage()
    one, two = Player(stage, name="1"), Player(stage, name="2")
    stage.ask(meta=MOVED)
    held = held_run("x", request_body(meta=MOVED))
    one.have(one.asked(), wire.Possession.RUNNING, held)
    assert (stage.core.seekers.questions, stage.core.seekers.load) == (0, 0)
    two.have(two.asked())
    stage.check()


# What is remembered, and how large a reply may be ----------------------------------------


def test_the_number_of_remembered_replies_is_bounded() -> None:
    stage = Stage(remember_count=3)
    player = Player(stage)
    for number in range(5):
        stage.ask(client=b"%d" % number, meta={"id": str(number), "age_ms": 0})
        player.done()
    assert len(stage.core.memory) == 3
    assert stage.core.memory.evicted == 2
    # What was first sent before the evicted ones may be known to a worker.
    stage.ask(client=b"again", meta={"id": "0", "age_ms": 60_000})
    assert stage.said(wire.WhoHas)


def test_a_reply_that_is_too_large_is_answered_so() -> None:
    stage = Stage(max_reply=2000)
    player = Player(stage)
    stage.ask()
    player.done(result="x" * 3000)
    error = stage.error()
    assert (error["code"], error["limit"]) == ("too_large", 2000)
    assert stage.said(wire.Welcome)[0].max_reply == 2000
    stage.check()


def test_a_plain_workers_reply_that_is_too_large_or_of_several_frames_is_answered_so() -> None:
    """The client waited until its deadline."""
    stage = Stage(max_reply=2000)
    stage.feed(ev.PlainPeers(1))
    stage.ask("plain.method", client=b"1")
    stage.ask("plain.method", client=b"2")
    large, odd = stage.asked_plain
    stage.feed(ev.PlainReply(large.token, success("x" * 3000, "ok")))
    assert stage.error(b"1")["code"] == "too_large"
    stage.feed(ev.PlainGarbled(odd.token))
    error = stage.error(b"2")
    assert error["code"] == "task_failed"
    assert "one frame" in error["msg"]
    stage.feed(ev.PlainGarbled(b"unknown"))
    assert stage.counters["garbled"] == 2
    stage.check()


def test_large_frames_before_a_body_are_refused() -> None:
    """They were kept with the task, and counted nowhere."""
    body = request_body()
    tag = b"t" * (MAX_ENVELOPE_BYTES - 10)
    assert isinstance(read([b"c", tag, b"", body], False, 1000), ev.Request)
    refused = read([b"c", tag + b"t" * 20, b"", body], False, 1000)
    assert isinstance(refused, ev.Reply)
    assert refused.envelope == (b"c",)
    assert decode_object(refused.body)["error"]["code"] == "bad_request"


def test_the_number_of_frames_before_a_body_is_a_setting() -> None:
    frames = [b"c", b"1", b"2", b"", request_body()]
    assert isinstance(read(frames, False, 1000, 3), ev.Request)
    assert isinstance(read(frames, False, 1000, 2), ev.Reply)


# Faults and labels -----------------------------------------------------------------------


def test_a_fault_of_the_core_is_answered_counted_and_survived(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Whatever the core raised ended the broker."""
    stage = Stage()
    Player(stage)
    core = stage.core

    def break_down(*_: Any) -> None:
        raise ZeroDivisionError(SECRET)

    core._handlers[ev.Request] = break_down
    body = request_body(data=SECRET)
    event = ev.Request((b"c", b""), body, parse_head(body))
    server = serving.BrokerServer.__new__(serving.BrokerServer)
    server._core, server._clock = core, lambda: stage.now
    with caplog.at_level(logging.DEBUG):
        (reply,) = server._handle(event)
    assert decode_object(reply.body)["error"]["code"] == "task_failed"
    assert core.counters.internal_errors == 1
    assert "ZeroDivisionError at a Request" in caplog.text
    assert "break_down" in caplog.text
    assert SECRET not in caplog.text


def test_a_request_that_became_a_task_is_not_answered_twice_after_a_fault() -> None:
    stage = Stage()
    player = Player(stage)
    body = request_body()
    stage.ask_raw(body, b"c")
    event = ev.Request((b"c", b""), body, parse_head(body))
    assert not stage.core.failed(event, stage.now)
    player.done()
    assert stage.answer(b"c")["success"] == 0


def test_a_fault_that_comes_with_each_tick_does_not_fill_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for count in range(1, 3001):
        serving._log_fault(ValueError(), ev.Tick(), count)
    assert 20 < len(caplog.records) < 30


def test_control_characters_in_a_workers_label_are_shown_and_not_done(
    caplog: pytest.LogCaptureFixture,
) -> None:
    stage = Stage()
    with caplog.at_level(logging.INFO):
        player = Player(stage, offer("m"), name="evil\x1b[2J\nERROR all is lost")
    assert player.record.label == "evil\\x1b[2J\\nERROR all is lost"
    assert "\x1b" not in caplog.text
    assert len(caplog.records) == 1
    assert len(wire.Hello(1, "\x00" * 128, "i" * 8, 1, 1, 1, 0, []).label) == 128


# Files -----------------------------------------------------------------------------------


class _Box:
    bytes = peers = dropped = 0


class _Doors:
    frontend_outbox: Any = _Box()
    backend_outbox: Any = _Box()
    admin_outbox: Any = _Box()


def doors() -> Any:
    return _Doors()


def test_an_alarm_is_raised_once_before_the_files_run_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looking = watch.Watch(Stage().core, doors())
    monkeypatch.setattr(watch, "file_limit", lambda: 100)
    with caplog.at_level(logging.INFO):
        for second, files in enumerate([79, 80, 95, 75, 69, 10, 81]):
            monkeypatch.setattr(watch, "open_files", lambda files=files: files)
            looking.look(float(second))
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "WARNING"]
    usage = looking.usage()["max_files"]
    looking.close()
    assert usage == {"now": 81, "peak": 95, "allowed": 100, "alarm": True}


def test_usage_stands_beside_the_limits() -> None:
    stage = Stage()
    player = Player(stage, slots=0)
    for _ in range(3):
        stage.ask(client=b"a", meta={"id": "x", "age_ms": 0})
    stage.ask(client=b"b")
    player.heartbeat(slots=2)
    usage = reports.status(stage.core, {}, stage.now, {"max_files": {"now": 7}})["usage"]
    assert usage["queue_length"] == {"now": 0, "peak": 2}
    assert usage["queue_bytes"]["now"] == 0
    assert usage["queue_bytes"]["peak"] > 2 * OVERHEAD
    assert usage["max_in_flight"] == {"now": 3, "peak": 3}
    assert usage["max_files"] == {"now": 7}
    limits = reports.status(stage.core, {}, stage.now)["limits"]
    assert set(usage) <= set(limits)


def test_freed_memory_is_given_back_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What thousands of connections had taken was kept when they had gone, and grew."""
    times: list[float] = []
    size = 50 << 20
    monkeypatch.setattr(watch.Resident, "bytes", lambda _: size)
    monkeypatch.setattr(watch, "give_back", lambda: times.append(now))
    looking = watch.Watch(Stage().core, doors())
    for tenth in range(1000):
        now = tenth / 10
        size = (50 << 20) if now < 50 else (100 << 20)
        looking.look(now)
    looking.close()
    assert times == [float(second) for second in range(50, 100, 5)]
