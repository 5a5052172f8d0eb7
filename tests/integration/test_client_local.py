"""The local client: the same surface, with the agents in this process."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from vpoller_like.agent import Agent, Params, task
from vpoller_like.client import LocalClient
from vpoller_like.errors import AgentError, BadRequest, InvalidParams, TaskFailed, UnknownMethod


class Greet(Params, frozen=True):
    name: str


class Hello(Agent):
    """An agent that keeps a list of what happened to it."""

    name = "hello"

    def __init__(self) -> None:
        self.events: list[str] = []

    def setup(self) -> None:
        self.events.append("setup")

    def teardown(self) -> None:
        self.events.append("teardown")

    @task("hello.greet")
    def greet(self, msg: Greet) -> dict[str, Any]:
        self.events.append(msg.name)
        return {"greeting": f"Hello, {msg.name}", "at": datetime(2026, 1, 1, tzinfo=UTC)}

    @task("hello.fail")
    def fail(self, msg: dict[str, Any]) -> None:
        raise OSError(f"no {msg}")


GREETING = {"greeting": "Hello, Ann", "at": "2026-01-01T00:00:00Z"}


@pytest.fixture
def agent() -> Hello:
    return Hello()


@pytest.fixture
def client(agent: Hello) -> Iterator[LocalClient]:
    with LocalClient([agent]) as client:
        yield client


def test_run_returns_the_envelope_that_comes_over_the_wire(client: LocalClient) -> None:
    envelope = client.run({"method": "hello.greet", "hostname": "any", "name": "Ann"})
    assert (envelope["success"], envelope["result"]) == (0, GREETING)
    assert "meta" not in envelope


def test_call_returns_the_result(client: LocalClient) -> None:
    assert client.call("hello.greet", name="Ann") == GREETING
    assert client.call("hello.greet", "node", name="Ann") == GREETING


def test_a_request_with_meta_gets_meta_back(client: LocalClient) -> None:
    envelope = client.run({"method": "hello.greet", "name": "Ann", "meta": {"id": "one"}})
    assert envelope["meta"]["id"] == "one"
    assert envelope["meta"]["attempts"] == 1
    assert envelope["meta"]["ran_ms"] >= 0


def test_errors_are_envelopes_in_run_and_raised_in_call(client: LocalClient) -> None:
    assert client.run({"method": "hello.fail"})["error"]["code"] == "task_failed"
    assert client.run({})["error"]["code"] == "bad_request"
    for method, params, kind in (
        ("hello.greet", {}, InvalidParams),
        ("hello.greet", {"name": 1}, InvalidParams),
        ("hello.fail", {}, TaskFailed),
        ("hello.gret", {}, UnknownMethod),
        ("hello.greet", {"name": object()}, BadRequest),
        ("hello.greet", {"name": "Ann", "meta": 1}, BadRequest),
    ):
        with pytest.raises(kind):
            client.call(method, **params)


def test_a_message_that_is_no_dict_is_a_programming_error(client: LocalClient) -> None:
    with pytest.raises(TypeError, match="dict"):
        client.run([])  # type: ignore[arg-type]


def test_map_runs_each_request_when_its_envelope_is_asked_for(
    agent: Hello, client: LocalClient
) -> None:
    stream = client.map({"method": "hello.greet", "name": name} for name in ("a", "b", "c"))
    assert next(stream)["result"]["greeting"] == "Hello, a"
    assert agent.events == ["setup", "a"]
    assert [envelope["success"] for envelope in stream] == [0, 0]
    assert agent.events == ["setup", "a", "b", "c"]
    with pytest.raises(ValueError, match="window"):
        client.map([], window=0)


def test_agents_are_set_up_at_once_and_torn_down_once(agent: Hello) -> None:
    client = LocalClient([agent])
    assert agent.events == ["setup"]
    client.close()
    client.close()
    assert agent.events == ["setup", "teardown"]
    for use in (lambda: client.run({}), lambda: client.call("x"), lambda: client.map([])):
        with pytest.raises(RuntimeError, match="closed"):
            use()


def test_a_forgotten_client_tears_its_agents_down(agent: Hello) -> None:
    LocalClient([agent])
    assert agent.events == ["setup", "teardown"]


def test_an_unknown_agent_is_refused() -> None:
    with pytest.raises(AgentError, match="no-such-agent"):
        LocalClient(["no-such-agent"])


def test_local_use_loads_no_zeromq() -> None:
    source = (
        "import sys; from vpoller_like.client import LocalClient; sys.exit('zmq' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", source], timeout=60, check=False)
    assert done.returncode == 0
