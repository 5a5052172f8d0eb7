"""The verbs that drain."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cli import FakeClient, Vpoller, client, failure, success, vpoller
from vpoller_like.cli import drain

__all__ = ["client", "vpoller"]

Client = type[FakeClient]

GONE = failure("task_failed", "no worker node is registered", reason="not_found")
AWAY = failure("unreachable", "Nobody there.")


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "_POLL", 0.0)


def in_turn(*replies: dict[str, Any]) -> Any:
    """Return what gives these replies one after another, and then the last one."""
    left = list(replies)
    return lambda _: left.pop(0) if len(left) > 1 else left[0]


def draining(held: int) -> dict[str, Any]:
    return success({"name": "node", "processes": ["node/0", "node/1"], "held": held})


def test_a_worker_is_told_again_until_it_is_gone(vpoller: Vpoller, client: Client) -> None:
    client.replies["worker.drain"] = in_turn(draining(3), draining(1), draining(0), GONE)
    outcome = vpoller("worker", "drain", "node/1")
    assert (outcome.code, outcome.out) == (0, "")
    assert outcome.err.splitlines() == [
        "Worker node is draining: 2 processes hold 3 tasks.",
        "Worker node has ended.",
    ]
    asked = [fake.sent[0]["name"] for fake in client.made]
    assert asked == ["node/1", "node", "node", "node"]


def test_a_broker_that_cannot_be_asked_says_nothing_of_a_worker(
    vpoller: Vpoller, client: Client
) -> None:
    client.replies["worker.drain"] = in_turn(draining(1), AWAY)
    assert vpoller("worker", "drain", "node", "--wait", "0.05").code == 4


def test_a_worker_that_is_not_there_is_not_found(vpoller: Vpoller, client: Client) -> None:
    client.replies["worker.drain"] = GONE
    outcome = vpoller("worker", "drain", "node")
    assert (outcome.code, outcome.err) == (5, "Error: no worker node is registered\n")


def test_waiting_ends_in_time(vpoller: Vpoller, client: Client) -> None:
    client.replies["worker.drain"] = draining(1)
    outcome = vpoller("worker", "drain", "node", "--wait", "0.05")
    assert outcome.code == 4
    assert "Worker node has not ended within 0.05 s; it goes on draining" in outcome.err


def test_nobody_has_to_wait(vpoller: Vpoller, client: Client) -> None:
    client.replies["worker.drain"] = draining(1)
    assert vpoller("worker", "drain", "node", "--wait", "0").code == 0
    assert len(client.made) == 1


@pytest.mark.parametrize("after", [AWAY, success({"draining": False})])
def test_a_broker_has_ended_when_it_is_away_or_another_one_is_there(
    vpoller: Vpoller, client: Client, after: dict[str, Any]
) -> None:
    client.replies["drain"] = success({"draining": True, "running": 1})
    slow = failure("timeout", "Nothing came.")
    client.replies["status"] = in_turn(success({"draining": True}), slow, after)
    outcome = vpoller("broker", "drain")
    assert (outcome.code, len(client.made)) == (0, 4)
    assert outcome.err.splitlines() == [
        "The broker at tcp://127.0.0.1:9999 is draining: 1 task left.",
        "The broker at tcp://127.0.0.1:9999 has ended.",
    ]


def test_a_broker_that_is_not_there_cannot_drain(vpoller: Vpoller, client: Client) -> None:
    client.replies["drain"] = AWAY
    assert vpoller("broker", "drain").code == 3
