"""A broker that does not let a client in is not asked again; others are."""

from __future__ import annotations

import json
from typing import Any

from vpoller_like.client.outcome import NO_RESPONSE
from vpoller_like.client.policy import Done, Exchange, Policy, Try

A, B = "tcp://a:1", "tcp://b:1"


def exchange(*endpoints: str, retries: int = 3) -> Exchange:
    policy = Policy(endpoints, timeout=3.0, retries=retries)
    return Exchange(policy, {"method": "m"}, 100.0, jitter=lambda: 0.0)


def tried(ex: Exchange, now: float) -> int:
    action = ex.next_action(now)
    assert isinstance(action, Try), action
    return action.endpoint


def ended(ex: Exchange, now: float) -> dict[str, Any]:
    action = ex.next_action(now)
    assert isinstance(action, Done), action
    return action.envelope


def test_the_only_broker_refuses_and_that_is_the_outcome_at_once() -> None:
    ex = exchange(A)
    tried(ex, 100.0)
    ex.on_refused("A knows you not.")
    envelope = ended(ex, 100.1)
    assert envelope["msg"] == "A knows you not."
    assert envelope["error"]["code"] == "refused"
    assert envelope["error"]["retryable"] is False
    assert (envelope["error"]["tries"], envelope["error"]["endpoints"]) == (1, [A])


def test_the_other_broker_is_asked_and_the_refusing_one_is_not_again() -> None:
    ex = exchange(A, B)
    assert tried(ex, 100.0) == 0
    ex.on_refused("A knows you not.")
    now = 100.0
    for _ in range(3):
        assert tried(ex, now) == 1
        ex.on_unconnected()
        now += 1.0
    assert tried(ex, now) == 1
    ex.on_sent(now)
    assert ex.on_reply(json.dumps({"success": 0, "msg": "", "result": 1}).encode(), now)
    assert ended(ex, now)["result"] == 1


def test_all_brokers_refuse() -> None:
    ex = exchange(A, B)
    tried(ex, 100.0)
    ex.on_refused("A knows you not.")
    tried(ex, 100.0)
    ex.on_refused("B knows you not.")
    assert ended(ex, 100.0)["msg"] == "B knows you not."


def test_a_refusal_explains_why_nobody_was_reached() -> None:
    ex = exchange(A, B, retries=1)
    tried(ex, 100.0)
    ex.on_refused("A knows you not.")
    tried(ex, 100.0)
    ex.on_unconnected()
    assert ended(ex, 103.0)["error"]["code"] == "refused"


def test_what_was_sent_before_may_have_run_whoever_refuses_now() -> None:
    ex = exchange(A)
    tried(ex, 100.0)
    ex.on_sent(100.0)
    ex.on_loss(100.1)
    tried(ex, 101.0)
    ex.on_refused("A knows you not any more.")
    envelope = ended(ex, 101.0)
    assert (envelope["error"]["code"], envelope["msg"]) == ("timeout", NO_RESPONSE)


def test_what_failed_handshakes_look_like_is_told_when_time_is_up() -> None:
    ex = exchange(A, retries=1)
    tried(ex, 100.0)
    ex.on_unconnected("", "A ends each handshake; compare the keys")
    error = ended(ex, 103.0)["error"]
    assert error["code"] == "unreachable"
    assert error["detail"] == "A ends each handshake; compare the keys (tried for 3.0 s)"
