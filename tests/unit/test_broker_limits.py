"""What one principal, one id or one worker can take of the broker, and what it cannot."""

from __future__ import annotations

import errno
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.core import Player, Stage, finished, held_run, offer, request_body, safe
from tests.support.cores import pure_only
from vpoller_like import files
from vpoller_like.broker import events as ev
from vpoller_like.broker import reports, watch
from vpoller_like.broker import server as serving
from vpoller_like.broker.figures import WAITING_BYTES
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


@pytest.mark.parametrize("peer", [b"\0principal ann", b"Pann", b"ann", b"W"])
def test_no_routing_id_is_on_a_principals_account(peer: bytes) -> None:
    """A peer may choose any, also one that looks like somebody's account."""
    stage = Stage(grace=True, max_in_flight=1)
    body = request_body()
    stage.feed(ev.Request((peer, b""), body, parse_head(body)))
    stage.feed(ev.Request((b"\0anns", b""), body, parse_head(body), "ann"))
    assert not stage.replies
    stage.feed(ev.Request((b"\0more", b""), body, parse_head(body), "ann"))
    assert stage.error(b"\0more")["code"] == "busy"


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


def test_workers_that_join_are_asked_in_turn_within_the_limit() -> None:
    """Each HELLO cost a message for each search, whatever the limit."""
    stage = Stage(max_searches=100, grace=True, grace_ms=60_000)
    for number in range(100):
        stage.ask(client=b"%d" % number, meta={"id": f"x{number}", "moved": True})
    players = [Player(stage, offer(safe("m")), name=str(n), slots=0) for n in range(16)]
    answered = dict.fromkeys(range(16), 0)
    for _ in range(2000):
        assert stage.core.seekers.load <= 110
        for number, player in enumerate(players):
            queries = stage.said(wire.WhoHas, player.peer)
            for query in queries[answered[number] :]:
                player.have(query)
            answered[number] = len(queries)
        stage.now += 0.01
        stage.tick()
        stage.check()
        for player in players:
            player.heartbeat()
        if set(answered.values()) == {100}:
            break
    assert set(answered.values()) == {100}
    assert not stage.replies


def test_a_worker_that_is_yet_to_be_asked_is_waited_for() -> None:
    """Where the others do not know, it may be the one that does."""
    stage = Stage(max_searches=10)
    first = Player(stage, name="first")
    for number in range(5):
        stage.ask(client=b"%d" % number, meta={"id": f"x{number}", "moved": True})
    second = Player(stage, name="second")
    assert stage.core.seekers.questions < 10
    for query in stage.said(wire.WhoHas, first.peer):
        first.have(query)
    assert not stage.replies
    body = request_body(meta={"id": "x4", "moved": True})
    for _ in range(40):
        for query in stage.said(wire.WhoHas, second.peer):
            if query.id == "x4":
                held = held_run("x4", body)
                second.have(query, wire.Possession.DONE, held, finished(held))
            else:
                second.have(query)
        stage.pass_time(0.1, alive=[first, second])
    assert stage.answer(b"4")["success"] == 0
    assert {stage.error(b"%d" % n)["code"] for n in range(4)} == {"worker_lost"}
    assert not stage.core.seekers._joiners
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
    server._core = core
    with caplog.at_level(logging.DEBUG):
        (reply,) = core.handle_all([event], stage.now, server.log_fault)
    assert isinstance(reply, ev.Reply)
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
    stage.core.failed(event, stage.now)
    assert not stage.core.handle_all((), stage.now, print)
    player.done()
    assert stage.answer(b"c")["success"] == 0


@pure_only
def test_a_request_that_fails_amid_its_handling_is_answered_and_holds_nothing() -> None:
    """It stayed unanswered and counted, no drain ended, and the stop failed too."""
    stage = Stage()
    player = Player(stage, slots=0)
    stage.ask(client=b"good")

    def break_down(_: Any) -> None:
        raise ZeroDivisionError

    body = request_body(meta={"id": "bad", "age_ms": 0})
    event = ev.Request((b"bad", b""), body, parse_head(body))
    stage.core.dispatcher.enqueue = break_down  # type: ignore[method-assign,assignment]
    faults: list[Exception] = []
    (reply,) = stage.core.handle_all([event], stage.now, lambda e, _: faults.append(e))
    assert [type(fault) for fault in faults] == [ZeroDivisionError]
    assert isinstance(reply, ev.Reply)
    assert decode_object(reply.body)["error"]["reason"] == "internal"
    assert stage.core.dispatcher.quota.most == 1
    assert len(stage.core.dispatcher.live) == 1
    del stage.core.dispatcher.enqueue  # type: ignore[method-assign]
    stage.check()
    player.heartbeat(slots=1)
    player.done()
    assert stage.answer(b"good")["success"] == 0
    assert stage.core.at_rest


def test_a_stop_answers_all_but_the_one_that_fails() -> None:
    stage = Stage()
    Player(stage, slots=0)
    for client in (b"1", b"2", b"3"):
        stage.ask(client=client)
    odd = list(stage.core.dispatcher.live.values())[1]
    odd.route.queue.remove(odd)
    stage.feed(ev.StopAsked())
    assert {stage.error(client)["code"] for client in (b"1", b"2", b"3")} == {"shutting_down"}
    assert stage.core.at_rest


def test_a_deadline_that_fails_keeps_no_other_from_passing() -> None:
    stage = Stage()
    Player(stage, slots=0)
    for client in (b"1", b"2", b"3"):
        stage.ask(client=client, meta={"deadline_ms": 100})
    odd = next(iter(stage.core.dispatcher.live.values()))
    odd.route.queue.remove(odd)
    stage.now += 1
    faults: list[Exception] = []
    actions = stage.core.handle_all([ev.Tick()], stage.now, lambda e, _: faults.append(e))
    assert [type(fault) for fault in faults] == [KeyError]
    for action in actions:
        assert isinstance(action, ev.Reply)
        assert decode_object(action.body)["error"]["reason"] == "internal"
    stage.tick()
    assert {stage.error(c)["code"] for c in (b"2", b"3")} == {"deadline"}
    assert not stage.core.dispatcher.live


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
    def __init__(self) -> None:
        self.bytes = self.peers = self.dropped = 0


class _Doors:
    def __init__(self) -> None:
        self.frontend_outbox: Any = _Box()
        self.backend_outbox: Any = _Box()
        self.admin_outbox: Any = _Box()


def doors() -> Any:
    return _Doors()


def test_an_alarm_is_raised_once_before_the_files_run_out(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looking = watch.Watch(doors())
    monkeypatch.setattr(watch, "file_limit", lambda: 100)
    with caplog.at_level(logging.INFO):
        for second, count in enumerate([79, 80, 95, 75, 69, 10, 81]):
            monkeypatch.setattr(watch, "open_files", lambda count=count: count)
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
    assert usage["queue_bytes"]["peak"] > 2 * WAITING_BYTES
    assert usage["max_in_flight"] == {"now": 3, "peak": 3}
    assert usage["max_files"] == {"now": 7}
    limits = reports.status(stage.core, {}, stage.now)["limits"]
    assert set(usage) <= set(limits)


def test_what_is_unsent_is_told_by_door_and_the_fullest_is_held_against_the_limit() -> None:
    """Three doors' sum was held against the limit that each of them has."""
    fakes = doors()
    fakes.frontend_outbox.bytes, fakes.backend_outbox.bytes = 700, 600
    fakes.backend_outbox.dropped = 2
    looking = watch.Watch(fakes)
    looking.look(0.0)
    fakes.frontend_outbox.bytes = 100
    usage = looking.usage()
    looking.close()
    unsent = {"now": 600, "peak": 700, "frontend": 100, "backend": 600, "admin": 0}
    assert usage["unsent_bytes"] == unsent
    assert usage["unsent_dropped"] == {"frontend": 0, "backend": 2, "admin": 0}


def test_where_no_descriptor_is_left_all_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    """Counting them takes one itself on older kernels, and the broker died of it."""

    def listdir(_: str) -> list[str]:
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(files.os, "stat", lambda _: SimpleNamespace(st_size=0))
    monkeypatch.setattr(files.os, "listdir", listdir)
    assert files.open_files() == files.file_limit()


def test_freed_memory_is_given_back_from_time_to_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """What thousands of connections had taken was kept when they had gone, and grew."""
    times: list[float] = []
    size = 50 << 20
    monkeypatch.setattr(watch.Resident, "bytes", lambda _: size)
    monkeypatch.setattr(watch, "give_back", lambda: times.append(now))
    looking = watch.Watch(doors())
    for tenth in range(1000):
        now = tenth / 10
        size = (50 << 20) if now < 50 else (100 << 20)
        looking.look(now)
    looking.close()
    assert times == [float(second) for second in range(50, 100, 5)]


@pure_only
def test_a_request_that_fails_before_it_is_accepted_counts_nowhere() -> None:
    """Its route was left with one task too few, and seemed idle while others waited there."""
    stage = Stage()
    player = Player(stage, slots=0)
    stage.ask(client=b"good")
    (route,) = stage.core.directory.routes.values()

    def break_down(*_: Any) -> None:
        raise ZeroDivisionError

    body = request_body(meta={"id": "bad", "age_ms": 0})
    event = ev.Request((b"bad", b""), body, parse_head(body))
    stage.core.dispatcher.require_room = break_down  # type: ignore[method-assign,assignment]
    (reply,) = stage.core.handle_all([event], stage.now, lambda *_: None)
    del stage.core.dispatcher.require_room  # type: ignore[method-assign]
    assert isinstance(reply, ev.Reply)
    assert decode_object(reply.body)["error"]["reason"] == "internal"
    assert stage.core.counters.internal_errors == 1
    assert ("", "bad") not in stage.core.memory
    assert route.live == 1
    stage.check()
    player.heartbeat(slots=1)
    player.done()
    assert stage.answer(b"good")["success"] == 0
