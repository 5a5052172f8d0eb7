"""The client's policy, with its time handed in and no socket anywhere."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.fake_broker import failure, success
from vpoller_like.client.outcome import NO_RESPONSE, result_of
from vpoller_like.client.policy import Done, Exchange, Policy, Try, Wait, policy
from vpoller_like.errors import (
    BadRequest,
    Busy,
    ConfigError,
    RequestError,
    TaskFailed,
    TooLarge,
    Unreachable,
)

A, B, C = "tcp://a:1", "tcp://b:1", "tcp://c:1"
MSG = {"method": "vm.get", "name": "vm01"}


def exchange(
    msg: dict[str, Any] = MSG, endpoints: tuple[str, ...] = (A,), **settings: Any
) -> Exchange:
    first = settings.pop("first", 0)
    return Exchange(
        Policy(endpoints, **settings),
        msg,
        100.0,
        first=first,
        jitter=lambda: 0.0,
        new_id=lambda: "id-1",
    )


def start(ex: Exchange, now: float) -> Try:
    action = ex.next_action(now)
    assert isinstance(action, Try), action
    return action


def send(ex: Exchange, now: float) -> dict[str, Any]:
    """Take the next try and send at once; return the body's meta."""
    start(ex, now)
    body = json.loads(ex.body(now))
    ex.on_sent(now)
    meta: dict[str, Any] = body["meta"]
    return meta


def reply(ex: Exchange, envelope: dict[str, Any], now: float) -> bool:
    return ex.on_reply(json.dumps(envelope).encode(), now)


def ended(ex: Exchange, now: float) -> dict[str, Any]:
    action = ex.next_action(now)
    assert isinstance(action, Done), action
    return action.envelope


def test_a_reply_is_handed_on_as_it_came() -> None:
    ex = exchange()
    send(ex, 100.0)
    envelope = {**success([1]), "meta": {"id": "id-1", "worker": "w"}}
    assert reply(ex, envelope, 100.1)
    assert ended(ex, 100.1) == envelope


def test_the_body_is_the_message_with_meta() -> None:
    ex = exchange({"method": "vm.get", "properties": ["name"], "hostname": "vc"})
    start(ex, 100.0)
    assert json.loads(ex.body(100.0)) == {
        "method": "vm.get",
        "properties": ["name"],
        "hostname": "vc",
        "meta": {"id": "id-1", "age_ms": 0, "deadline_ms": 8750},
    }


def test_an_empty_message_is_still_json() -> None:
    ex = exchange({})
    assert set(json.loads(ex.body(100.0))) == {"meta"}


def test_the_callers_message_is_left_alone() -> None:
    msg = {"method": "x", "meta": {"priority": 9}}
    ex = exchange(msg)
    assert send(ex, 100.0)["priority"] == 9
    assert msg == {"method": "x", "meta": {"priority": 9}}


def test_a_try_lasts_for_the_timeout() -> None:
    assert start(exchange(), 100.0) == Try(0, 103.0, 103.0)


def test_silence_is_tried_again_with_the_age_since_the_first_send() -> None:
    ex = exchange()
    start(ex, 100.0)
    ex.body(100.5)
    ex.on_sent(100.5)
    ex.on_silence()
    meta = send(ex, 103.0)
    assert meta == {"id": "id-1", "age_ms": 2500, "deadline_ms": 5750}


def test_silence_on_every_try_is_a_timeout() -> None:
    ex = exchange()
    for now in (100.0, 103.0, 106.0):
        send(ex, now)
        ex.on_silence()
    envelope = ended(ex, 109.0)
    error = envelope["error"]
    assert envelope["success"] == 1
    assert envelope["msg"] == NO_RESPONSE
    assert (error["code"], error["retryable"]) == ("timeout", True)
    assert (error["endpoints"], error["tries"], error["waited_ms"]) == ([A], 3, 9000)
    assert error["id"] == "id-1"
    assert "3 times" in error["detail"]
    assert A in error["detail"]
    assert "9.0 s" in error["detail"]


def test_never_connected_is_unreachable() -> None:
    ex = exchange(retries=2)
    start(ex, 100.0)
    ex.on_unconnected()
    start(ex, 103.0)
    ex.on_unconnected("too many open files")
    envelope = ended(ex, 106.0)
    assert envelope["msg"] == NO_RESPONSE
    assert envelope["error"]["code"] == "unreachable"
    assert "too many open files" in envelope["error"]["detail"]
    with pytest.raises(Unreachable, match="2 tries") as caught:
        result_of(envelope)
    assert caught.value.details["endpoints"] == [A]


def test_one_send_among_failed_connections_makes_it_a_timeout() -> None:
    ex = exchange()
    start(ex, 100.0)
    ex.on_unconnected()
    send(ex, 103.0)
    ex.on_silence()
    start(ex, 106.0)
    ex.on_unconnected()
    assert ended(ex, 109.0)["error"]["code"] == "timeout"


def test_a_failed_connection_is_no_send() -> None:
    ex = exchange(endpoints=(A, B))
    now = 100.0
    for _ in range(10):
        now = start(ex, now).connect_until
        ex.on_unconnected()
        if now > 105.0:
            break
    assert send(ex, 105.5)["age_ms"] == 0


def test_the_whole_takes_no_longer_than_all_tries() -> None:
    ex = exchange(endpoints=(A, B, C), first=2)
    now = 100.0
    while isinstance(action := ex.next_action(now), Try):
        assert now < action.connect_until <= action.until <= 109.0
        now = action.connect_until
        ex.on_unconnected()
    assert isinstance(action, Done)
    assert 108.9 < now <= 109.0


def test_with_several_endpoints_patience_starts_short_and_doubles_each_round() -> None:
    ex = exchange(endpoints=(A, B))
    seen = []
    now = 100.0
    for _ in range(6):
        action = start(ex, now)
        seen.append((action.endpoint, action.connect_until - now))
        now = action.connect_until
        ex.on_unconnected()
    assert seen == [(0, 0.25), (1, 0.25), (0, 0.5), (1, 0.5), (0, 1.0), (1, 1.0)]


def test_the_next_endpoint_is_told_that_the_request_moved() -> None:
    ex = exchange(endpoints=(A, B), first=1)
    assert "moved" not in send(ex, 100.0)
    ex.on_silence()
    assert start(ex, 103.0).endpoint == 0
    assert json.loads(ex.body(103.0))["meta"]["moved"] is True


def test_back_at_the_same_endpoint_it_moved_still_if_another_may_know_it() -> None:
    ex = exchange(endpoints=(A, B), retries=5)
    for now in (100.0, 103.0):
        send(ex, now)
        ex.on_silence()
    assert start(ex, 106.0).endpoint == 0
    assert json.loads(ex.body(106.0))["meta"]["moved"] is True


def test_an_id_that_the_caller_has_used_may_be_known_to_any_broker() -> None:
    msg = {**MSG, "meta": {"id": "mine", "age_ms": 500}}
    assert send(exchange(msg, endpoints=(A, B)), 100.0)["moved"] is True
    assert "moved" not in send(exchange(msg, endpoints=(A,)), 100.0), "there is no other one"


@pytest.mark.parametrize("meta", [{"id": "mine", "age_ms": 0}, {"id": "mine"}, {"priority": 5}])
def test_an_id_that_is_new_for_all_that_is_said_is_known_to_no_broker(meta: Any) -> None:
    assert "moved" not in send(exchange({**MSG, "meta": meta}, endpoints=(A, B)), 100.0)


def test_a_caller_who_says_whether_an_id_has_moved_is_believed() -> None:
    msg = {**MSG, "meta": {"id": "mine", "age_ms": 500, "moved": False}}
    assert send(exchange(msg, endpoints=(A, B)), 100.0)["moved"] is False


def test_an_endpoint_that_was_never_sent_to_does_not_make_it_moved() -> None:
    ex = exchange(endpoints=(A, B))
    start(ex, 100.0)
    ex.on_unconnected()
    meta = send(ex, 100.25)
    assert "moved" not in meta
    assert meta["age_ms"] == 0


def test_a_broken_connection_is_tried_again_after_a_short_delay() -> None:
    ex = exchange()
    send(ex, 100.0)
    ex.on_loss(100.2)
    action = ex.next_action(100.2)
    assert isinstance(action, Wait)
    assert 100.2 < action.until < 100.3
    assert send(ex, action.until)["age_ms"] >= 200


def test_broken_connections_end_after_as_many_sends_as_there_are_retries() -> None:
    ex = exchange()
    now = 100.0
    for _ in range(3):
        send(ex, now)
        ex.on_loss(now)
        now += 1.0
    error = ended(ex, now)["error"]
    assert error["code"] == "timeout"
    assert "broken: 3" in error["detail"]


def test_the_deadline_is_what_this_and_the_remaining_sends_may_take() -> None:
    ex = exchange()
    deadlines = [send(ex, 100.0)["deadline_ms"]]
    ex.on_loss(100.0)
    deadlines.append(send(ex, 101.0)["deadline_ms"])
    ex.on_loss(101.0)
    deadlines.append(send(ex, 102.0)["deadline_ms"])
    assert deadlines == [8750, 5750, 2750]


def test_a_short_timeouts_deadline_leaves_a_tenth_of_it_for_the_way_back() -> None:
    assert send(exchange(timeout=0.1, retries=1), 100.0)["deadline_ms"] == 90


def test_busy_is_asked_again_no_sooner_than_it_says() -> None:
    ex = exchange()
    send(ex, 100.0)
    reply(ex, failure("busy", retry_after_ms=700), 100.0)
    action = ex.next_action(100.0)
    assert isinstance(action, Wait)
    assert 100.7 < action.until < 101.0
    send(ex, action.until)
    reply(ex, success(1), action.until)
    assert ended(ex, action.until)["success"] == 0


def test_clients_refused_together_do_not_come_back_together() -> None:
    """All that were told to wait 5 s came back within the same 25 ms."""

    def resumes(jitter: float) -> float:
        ex = Exchange(Policy((A,), timeout=60.0), MSG, 100.0, jitter=lambda: jitter)
        send(ex, 100.0)
        reply(ex, failure("busy", retry_after_ms=5000), 100.0)
        action = ex.next_action(100.0)
        assert isinstance(action, Wait)
        return action.until

    assert resumes(0.0) >= 105.0
    assert resumes(0.9) - resumes(0.0) > 2.0


def test_busy_stays_at_its_endpoint_and_shutting_down_goes_to_the_next() -> None:
    ex = exchange(endpoints=(A, B))
    send(ex, 100.0)
    reply(ex, failure("busy"), 100.0)
    assert start(ex, 101.0).endpoint == 0
    ex.on_sent(101.0)
    reply(ex, failure("shutting_down"), 101.0)
    assert start(ex, 102.0).endpoint == 1


@pytest.mark.parametrize("code", ["busy", "shutting_down"])
def test_a_refused_request_is_as_new_as_before(code: str) -> None:
    ex = exchange(endpoints=(A, B))
    send(ex, 100.0)
    reply(ex, failure(code), 100.0)
    meta = send(ex, 101.0)
    assert meta["age_ms"] == 0
    assert "moved" not in meta


def test_refusals_are_asked_again_for_as_long_as_there_is_time_then_returned() -> None:
    ex = exchange()
    now, sends = 100.0, 0
    while not isinstance(action := ex.next_action(now), Done):
        if isinstance(action, Wait):
            assert action.until > now
            now = action.until
            continue
        ex.on_sent(now)
        sends += 1
        reply(ex, failure("busy", f"busy {sends}"), now)
    assert sends > 3
    assert action.envelope == failure("busy", f"busy {sends}")
    assert 107.0 < now <= 109.0


def test_a_refusal_that_asks_for_more_time_than_is_left_is_returned_at_once() -> None:
    ex = exchange()
    send(ex, 100.0)
    reply(ex, failure("busy", retry_after_ms=60_000), 100.0)
    assert ended(ex, 100.0)["error"]["code"] == "busy"


def test_silence_after_a_refusal_is_a_timeout() -> None:
    ex = exchange(retries=1)
    send(ex, 100.0)
    reply(ex, failure("busy"), 100.0)
    send(ex, 101.0)
    ex.on_silence()
    assert ended(ex, 103.0)["error"]["code"] == "timeout"


def test_a_broker_that_refused_and_went_away_leaves_its_refusal() -> None:
    ex = exchange(retries=1)
    send(ex, 100.0)
    reply(ex, failure("shutting_down"), 100.0)
    start(ex, 101.0)
    ex.on_unconnected()
    assert ended(ex, 103.0)["error"]["code"] == "shutting_down"


def test_other_errors_are_final() -> None:
    for code in ("task_failed", "worker_lost", "deadline", "storage", "of_a_later_version"):
        ex = exchange()
        send(ex, 100.0)
        reply(ex, failure(code, retryable=True), 100.0)
        assert ended(ex, 100.0)["error"]["code"] == code


def test_a_given_id_is_kept_and_its_age_is_unknown() -> None:
    ex = exchange({"method": "x", "meta": {"id": "mine"}})
    meta = send(ex, 100.0)
    assert meta["id"] == "mine"
    assert "age_ms" not in meta
    ex.on_silence()
    assert "age_ms" not in send(ex, 103.0)


@pytest.mark.parametrize(("given", "first", "second"), [(0, 0, 3000), (5000, 5500, 8500)])
def test_a_given_age_grows(given: int, first: int, second: int) -> None:
    ex = exchange({"method": "x", "meta": {"id": "mine", "age_ms": given}})
    start(ex, 100.0)
    ages = [json.loads(ex.body(100.5))["meta"]["age_ms"]]
    ex.on_sent(100.5)
    ex.on_silence()
    ages.append(send(ex, 103.5)["age_ms"])
    assert ages == [first, second]


def test_a_given_deadline_caps_ours() -> None:
    ex = exchange({"method": "x", "meta": {"deadline_ms": 4000}})
    deadlines = []
    for now in (100.0, 103.0, 106.0):
        deadlines.append(send(ex, now)["deadline_ms"])
        ex.on_silence()
    assert deadlines == [4000, 1000, 0]


def test_a_reply_to_another_request_is_passed_over() -> None:
    ex = exchange()
    send(ex, 100.0)
    assert not reply(ex, {**success("stale"), "meta": {"id": "id-0"}}, 100.1)
    assert reply(ex, {**success("ours"), "meta": {"id": "id-1"}}, 100.2)
    assert ended(ex, 100.2)["result"] == "ours"


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[1]", b"not json", b'{"data": []}', b'{"success": 7}', b"\x81\xa1"]
)
def test_a_reply_that_is_no_envelope_fails_and_names_the_endpoint(body: bytes) -> None:
    ex = exchange()
    send(ex, 100.0)
    assert ex.on_reply(body, 100.1)
    envelope = ended(ex, 100.1)
    assert envelope["error"]["reason"] == "malformed_reply"
    assert A in envelope["msg"]
    with pytest.raises(TaskFailed):
        result_of(envelope)


def test_an_oversize_request_is_not_sent_and_names_both_sizes() -> None:
    ex = exchange({"method": "x", "data": "y" * 2000}, max_request=1024)
    envelope = ended(ex, 100.0)
    error = envelope["error"]
    assert (error["code"], error["limit"]) == ("too_large", 1024)
    assert error["size"] > 2000
    assert str(error["size"]) in envelope["msg"]
    assert "1024" in envelope["msg"]
    with pytest.raises(TooLarge):
        result_of(envelope)


@pytest.mark.parametrize(
    "msg",
    [{"method": "x", "a": object()}, {"a": "\ud800"}, {"meta": 1}, {1.5j: 1}],
)
def test_a_message_that_cannot_be_written_is_a_bad_request(msg: dict[str, Any]) -> None:
    with pytest.raises(BadRequest):
        result_of(ended(exchange(msg), 100.0))


@pytest.mark.parametrize("msg", [None, "vm.get", [1], b"{}"])
def test_a_message_that_is_no_dict_is_a_programming_error(msg: Any) -> None:
    with pytest.raises(TypeError, match="dict"):
        exchange(msg)


def test_an_errors_details_are_on_the_exception() -> None:
    envelope = failure("busy", "full", True, retry_after_ms=5, message="odd", self="odder")
    with pytest.raises(Busy, match="full") as caught:
        result_of(envelope)
    assert caught.value.details == {"retry_after_ms": 5, "message": "odd", "self": "odder"}


def test_a_failure_without_a_code_is_a_failed_task() -> None:
    with pytest.raises(TaskFailed, match="Cannot find object"):
        result_of({"success": 1, "msg": "Cannot find object vm01"})


def test_a_code_of_a_later_version_is_still_an_answer() -> None:
    with pytest.raises(RequestError, match="odd"):
        result_of(failure("quota", "odd"))


def test_each_id_is_its_own() -> None:
    settings = Policy((A,))
    metas = [send(Exchange(settings, MSG, 0.0), 0.0)["id"] for _ in range(100)]
    assert len(set(metas)) == 100


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([], 3000, 3, 1024), "endpoint"),
        ((A, 0, 3, 1024), "timeout"),
        ((A, float("nan"), 3, 1024), "timeout"),
        ((A, "3000", 3, 1024), "timeout"),
        ((A, 3000, 0, 1024), "retries"),
        ((A, 3000, 1.5, 1024), "retries"),
        ((A, 3000, True, 1024), "retries"),
        ((A, 3000, 3, -1), "max_request"),
    ],
)
def test_a_wrong_setting_is_named(arguments: Any, name: str) -> None:
    with pytest.raises(ConfigError, match=f"^{name}: "):
        policy(*arguments)


def test_the_defaults_are_three_tries_of_three_seconds() -> None:
    assert policy(A, 3000, 3, 1024) == Policy((A,), 3.0, 3, 1024)
    assert policy([A, B], 3000, 3, 1024).endpoints == (A, B)
