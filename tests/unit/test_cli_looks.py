"""The verbs that ask the admin endpoint."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.cli import FakeClient, Vpoller, client, failure, success, vpoller

__all__ = ["client", "vpoller"]

Client = type[FakeClient]

ECHO: dict[str, Any] = {
    "method": "system.echo",
    "agent": "system",
    "hosts": None,
    "retry_safe": True,
    "timeout_ms": 1000,
    "doc": "Return data.\n\nMore of it.",
    "params": [{"name": "data", "type": "any", "required": True, "default": None, "doc": "It."}],
    "workers": 2,
    "queued": 0,
}


def _methods(msg: dict[str, Any]) -> dict[str, Any]:
    return success([ECHO] if msg.get("name", "system.echo") == "system.echo" else [])


@pytest.mark.parametrize(
    ("verb", "question"),
    [
        (["status"], "status"),
        (["workers"], "workers"),
        (["methods"], "methods"),
        (["broker", "stop"], "shutdown"),
    ],
)
def test_each_verb_asks_its_question_of_the_admin_endpoint(
    vpoller: Vpoller, client: Client, verb: list[str], question: str
) -> None:
    client.replies[question] = success([])
    assert vpoller(*verb, "--admin", "tcp://a:1", "--timeout", "9").code == 0
    assert client.made[0].arguments == ("tcp://a:1",)
    assert client.made[0].options == {"timeout": 9, "retries": 3}
    assert client.made[0].sent == [{"method": question}]
    assert client.made[0].closed


@pytest.mark.parametrize("verb", [["status"], ["workers"], ["methods"], ["broker", "stop"]])
@pytest.mark.parametrize(("code", "expected"), [("unreachable", 3), ("timeout", 4)])
def test_a_broker_that_does_not_answer_is_an_error(
    vpoller: Vpoller, client: Client, verb: list[str], code: str, expected: int
) -> None:
    for question in ("status", "workers", "methods", "shutdown"):
        client.replies[question] = failure(code, "Nobody there.")
    outcome = vpoller(*verb)
    assert (outcome.code, outcome.out, outcome.err) == (expected, "", "Error: Nobody there.\n")


def test_status_is_printed_whole(vpoller: Vpoller, client: Client) -> None:
    client.replies["status"] = success({"pid": 7, "counters": {"requests": 3}, "later": [1]})
    assert vpoller("status").data["counters"] == {"requests": 3}
    table = vpoller("status", "-o", "table").out
    assert "counters.requests  3\n" in table
    assert "later" in table


def test_workers_without_hosts_serve_any(vpoller: Vpoller, client: Client) -> None:
    client.replies["workers"] = success(
        [
            {"label": "a", "instance": "8f87", "hosts": None, "slots": 4},
            {"label": "b", "hosts": ["h1", "h2"]},
        ]
    )
    assert vpoller("workers").data[0]["hosts"] is None
    assert vpoller("workers", "-o", "table").out == (
        "label  hosts   slots\na      any         4\nb      h1, h2      -\n"
    )


@pytest.mark.parametrize("verb", ["workers", "methods"])
def test_an_empty_list_says_what_to_do_on_stderr(
    vpoller: Vpoller, client: Client, verb: str
) -> None:
    client.replies[verb] = success([])
    outcome = vpoller(verb, "-o", "table")
    assert (outcome.code, outcome.out) == (0, "")
    assert "vpoller worker run" in outcome.err
    assert vpoller(verb).data == []


def test_methods_are_listed_with_the_first_line_of_their_doc(
    vpoller: Vpoller, client: Client
) -> None:
    client.replies["methods"] = _methods
    header, line = vpoller("methods", "-o", "table").out.splitlines()
    assert header.split() == ["method", "agent", "hosts", "workers", "queued", "doc"]
    assert line.split() == ["system.echo", "system", "any", "2", "0", "Return", "data."]


def test_one_method_is_shown_with_its_parameters(vpoller: Vpoller, client: Client) -> None:
    client.replies["methods"] = _methods
    assert vpoller("methods", "system.echo").data == ECHO
    assert client.made[-1].sent == [{"method": "methods", "name": "system.echo"}]
    table = vpoller("methods", "system.echo", "-o", "table").out
    assert "More of it." in table
    assert "parameter  type  required" in table
    assert "data       any   yes" in table


def test_a_method_without_parameters_says_so(vpoller: Vpoller, client: Client) -> None:
    client.replies["methods"] = success([{**ECHO, "params": []}])
    assert "params      none\n" in vpoller("methods", "system.echo", "-o", "table").out


def test_an_unknown_method_exits_5_and_names_the_nearest(vpoller: Vpoller, client: Client) -> None:
    client.replies["methods"] = _methods
    outcome = vpoller("methods", "system.ecko")
    assert (outcome.code, outcome.out) == (5, "")
    assert outcome.err == ("Error: no worker serves system.ecko; did you mean system.echo?\n")
