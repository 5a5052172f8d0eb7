"""``vpoller call``: what it sends, prints and exits with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import FakeClient, Vpoller, client, failure, success, vpoller
from vpoller_like.errors import AgentError, InvalidParams, Unreachable

__all__ = ["client", "vpoller"]

Client = type[FakeClient]


def test_the_request_goes_to_the_configured_brokers(vpoller: Vpoller, client: Client) -> None:
    vpoller("call", "vm.get", "-H", "vc01", "name=db1", 'properties:=["name"]')
    (made,) = client.made
    assert made.arguments == (["tcp://127.0.0.1:10123"],)
    assert made.options == {"timeout": 3000, "retries": 3}
    assert made.sent == [
        {"method": "vm.get", "hostname": "vc01", "name": "db1", "properties": ["name"]}
    ]
    assert made.closed


def test_flags_choose_brokers_time_and_tries(vpoller: Vpoller, client: Client) -> None:
    vpoller(
        "call", "m", "--endpoint", "tcp://a:1", "--endpoint", "tcp://b:2", "--timeout", "7",
        "--retries", "1",
    )  # fmt: skip
    assert client.made[0].arguments == (["tcp://a:1", "tcp://b:2"],)
    assert client.made[0].options == {"timeout": 7, "retries": 1}


def test_local_loads_the_named_agents_with_their_sections(
    vpoller: Vpoller, client: Client, tmp_path: Path
) -> None:
    (tmp_path / "vpoller.toml").write_text("[agents.system]\nhostname = 'here'\n")
    vpoller("call", "m", "--local", "--agents", "system,other")
    assert client.made[0].arguments == (["system", "other"],)
    assert client.made[0].options == {"settings": {"system": {"hostname": "here"}}}


def test_an_object_on_stdin_is_taken(vpoller: Vpoller, client: Client) -> None:
    vpoller("call", "system.echo", stdin=b'{"data": {"a": [1]}}')
    assert client.made[0].sent == [{"method": "system.echo", "data": {"a": [1]}}]


@pytest.mark.parametrize("result", [None, 0, "text", [1, {"a": None}], {"ä": "ö"}])
def test_the_result_alone_is_on_stdout(vpoller: Vpoller, client: Client, result: Any) -> None:
    client.replies["m"] = success(result)
    outcome = vpoller("call", "m")
    assert (outcome.code, outcome.data, outcome.err) == (0, result, "")


def test_a_plain_workers_reply_without_a_result_is_shown_as_it_is(
    vpoller: Vpoller, client: Client
) -> None:
    client.replies["m"] = {"data": [1]}
    outcome = vpoller("call", "m")
    assert (outcome.code, outcome.data) == (0, {"data": [1]})


@pytest.mark.parametrize(
    ("code", "details", "expected"),
    [
        ("task_failed", {}, 1),
        ("worker_lost", {}, 1),
        ("invalid_params", {}, 1),
        ("busy", {"retry_after_ms": 5}, 1),
        ("unauthorized", {}, 6),
        ("of_a_later_version", {}, 1),
        ("unreachable", {}, 3),
        ("timeout", {}, 4),
        ("deadline", {}, 4),
        ("unknown_method", {}, 5),
        ("unknown_host", {}, 5),
        ("task_failed", {"reason": "not_found"}, 5),
        ("task_failed", {"reason": "timeout", "timeout_ms": 5}, 1),
    ],
)
def test_the_exit_code_says_what_kind_of_failure(
    vpoller: Vpoller, client: Client, code: str, details: dict[str, Any], expected: int
) -> None:
    client.replies["m"] = failure(code, "That went wrong.", **details)
    outcome = vpoller("call", "m")
    assert (outcome.code, outcome.out, outcome.err) == (expected, "", "Error: That went wrong.\n")


def test_silence_is_told_with_what_was_tried(vpoller: Vpoller, client: Client) -> None:
    client.replies["m"] = failure("timeout", "Did not receive...", detail="tried tcp://a:1 3 times")
    assert vpoller("call", "m").err == "Error: tried tcp://a:1 3 times\n"


def test_a_failure_without_our_error_object_is_a_failed_task(
    vpoller: Vpoller, client: Client
) -> None:
    client.replies["m"] = {"success": 1, "msg": "old worker says no"}
    outcome = vpoller("call", "m")
    assert (outcome.code, outcome.err) == (1, "Error: old worker says no\n")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Unreachable("no broker at tcp://a:1"), 3),
        (AgentError("no agent is called x"), 1),
        (InvalidParams("n: expected int"), 1),
    ],
)
def test_an_error_raised_is_one_sentence(
    vpoller: Vpoller, client: Client, error: Exception, code: int
) -> None:
    client.replies["m"] = error
    outcome = vpoller("call", "m")
    assert (outcome.code, outcome.out, outcome.err) == (code, "", f"Error: {error}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("call",),
        ("call", "m", "x"),
        ("call", "m", "n:=x"),
        ("call", "m", "--timeout", "soon"),
        ("call", "m", "--timeout", "0"),
        ("call", "m", "--retries", "0"),
        ("call", "m", "--endpoint", "nowhere"),
        ("call", "m", "-o", "xml"),
        ("call", "-"),
        ("coll", "m"),
        ("--config", "/no/such.toml", "call", "m"),
    ],
)
def test_wrong_local_input_exits_2_and_sends_nothing(
    vpoller: Vpoller, client: Client, arguments: tuple[str, ...]
) -> None:
    outcome = vpoller(*arguments)
    assert (outcome.code, outcome.out, client.made) == (2, "", [])
    assert "Error: " in outcome.err


def test_ctrl_c_exits_130(vpoller: Vpoller, client: Client) -> None:
    client.replies["m"] = KeyboardInterrupt()
    outcome = vpoller("call", "m")
    assert (outcome.code, outcome.out) == (130, "")


def test_yaml_when_asked(vpoller: Vpoller, client: Client) -> None:
    client.replies["m"] = success({"b": [1, "ä"], "a": None})
    assert vpoller("call", "m", "-o", "yaml").out == "b:\n- 1\n- ä\na: null\n"


def test_a_table_when_asked(vpoller: Vpoller, client: Client) -> None:
    client.replies["m"] = success([{"name": "a", "n": 1}, {"name": "b", "n": 20}])
    assert vpoller("call", "m", "-o", "table").out == "name   n\na      1\nb     20\n"
