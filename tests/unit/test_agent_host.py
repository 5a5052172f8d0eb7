"""Hosting agents: routing, encodings, limits, and never raising."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgpack
import msgspec
import pytest

from vpoller_like.agent import Agent, AgentHost, Answer, Outcome, Params, task
from vpoller_like.errors import AgentError, InvalidParams
from vpoller_like.protocol.encoding import decode_object
from vpoller_like.protocol.worker import Hello, decode_from_worker, encode


class Echo(Params, frozen=True):
    data: Any = None


class Node(Agent):
    name = "node"

    def __init__(self, *hostnames: str, log: list[str] | None = None) -> None:
        self.hostnames = list(hostnames) or None
        self.label = "+".join(hostnames) or "any"
        self.log: list[str] = [] if log is None else log

    def setup(self) -> None:
        self.log.append(f"setup {self.label}")

    def teardown(self) -> None:
        self.log.append(f"teardown {self.label}")

    @task("node.echo", retry_safe=True)
    def echo(self, msg: Echo) -> Any:
        """Echo data."""
        return msg.data

    @task("node.who")
    def who(self, _msg: dict[str, Any]) -> str:
        return self.label

    @task("node.keys")
    def keys(self, msg: dict[str, Any]) -> list[str]:
        return sorted(msg)

    @task("node.refuse")
    def refuse(self, _msg: dict[str, Any]) -> Any:
        raise InvalidParams("name: no such thing", field="name")

    @task("node.fail")
    def fail(self, _msg: dict[str, Any]) -> Any:
        return 1 // 0

    @task("node.huge")
    def huge(self, _msg: dict[str, Any]) -> Any:
        return {"numbers": [1, 2**80]}

    @task("node.answer")
    def answer(self, _msg: dict[str, Any]) -> Any:
        return Answer(1, msg="x" * 4000)


def ask(host: AgentHost, **fields: Any) -> dict[str, Any]:
    return reply(host.execute(json.dumps(fields).encode()))


def reply(outcome: Outcome) -> dict[str, Any]:
    """Return the envelope; its code must be the outcome's."""
    envelope = decode_object(outcome.body)
    assert envelope["success"] == (1 if outcome.code else 0)
    assert envelope.get("error", {}).get("code", "") == outcome.code
    return envelope


def code_and_text(envelope: dict[str, Any]) -> tuple[str, str]:
    return envelope["error"]["code"], envelope["msg"]


@pytest.fixture
def host() -> AgentHost:
    return AgentHost([Node("node1")])


@pytest.fixture
def several() -> AgentHost:
    return AgentHost([Node("a"), Node("b", "c")])


def test_a_request_is_answered(host: AgentHost) -> None:
    outcome = host.execute(b'{"method": "node.echo", "hostname": "node1", "data": {"a": [1]}}')
    assert outcome.code == ""
    assert json.loads(outcome.body) == {
        "success": 0,
        "msg": "Successfully ran the task",
        "result": {"a": [1]},
    }


def test_a_messagepack_request_is_answered_in_messagepack(host: AgentHost) -> None:
    outcome = host.execute(msgpack.packb({"method": "node.echo", "data": [1.5, "é"]}))
    assert msgpack.unpackb(outcome.body)["result"] == [1.5, "é"]
    outcome = host.execute(msgpack.packb({"method": "node.echo", b"data": 1}))
    envelope = msgpack.unpackb(outcome.body)
    assert outcome.code == "bad_request"
    assert envelope["msg"] == "the parameter b'data' is named by bytes; write its name as text"
    outcome = host.execute(msgpack.packb({"method": "node.nothing"}))
    assert msgpack.unpackb(outcome.body)["error"]["code"] == outcome.code == "unknown_method"


def test_parameters_come_without_what_routes_them(host: AgentHost) -> None:
    envelope = ask(host, method="node.keys", hostname="node1", meta={"id": "1"}, name=1, key=None)
    assert envelope["result"] == ["key", "name"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b'"helper"',
        b"[1]",
        b"not json",
        b'{"method": NaN}',
        b'{"method": "node.echo"',
        b'\xff\xfe{"method": "node.echo"}',
        b'{"method": "\xff"}',
        b'{"method": ""}',
        b'{"method": 5}',
        b'{"method": null}',
        b'{"method": "node.echo", "hostname": 5}',
        b'{"method": "node.echo", "meta": 5}',
        b'{"method": "node.echo", "data": "\\ud800"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"\x81",
        b"\xdf\xff\xff\xff\xff",
        b"\x81\xa6method\xa1\xff",
        b"\x81\x01\x02",
        msgpack.packb({"method": ["node.echo"]}),
    ],
)
def test_what_is_no_request_is_a_bad_request_and_the_next_is_served(
    host: AgentHost, body: bytes
) -> None:
    envelope = reply(host.execute(body))
    assert envelope["error"]["code"] == "bad_request"
    assert envelope["msg"]
    assert ask(host, method="node.echo", data=1)["result"] == 1


def test_a_wrong_key_of_a_request_is_named(host: AgentHost) -> None:
    assert ask(host, method="node.echo", hostname=5)["msg"].startswith("hostname: expected str")


def test_an_unknown_method_names_the_nearest(host: AgentHost) -> None:
    code, text = code_and_text(ask(host, method="node.ehco"))
    assert code == "unknown_method"
    assert "did you mean node.echo?" in text


def test_what_an_agent_raises_on_purpose_is_passed_on(host: AgentHost) -> None:
    envelope = ask(host, method="node.refuse")
    assert code_and_text(envelope) == ("invalid_params", "name: no such thing")
    assert envelope["error"]["field"] == "name"


def test_what_an_agent_raises_by_mistake_is_task_failed(host: AgentHost) -> None:
    code, text = code_and_text(ask(host, method="node.fail"))
    assert code == "task_failed"
    assert text.startswith("Task node.fail failed: ZeroDivisionError: ")


def test_a_number_too_large_for_messagepack_is_named_by_its_path(host: AgentHost) -> None:
    envelope = reply(host.execute(msgpack.packb({"method": "node.huge"})))
    assert envelope["msg"].startswith("Cannot serialize result: result.numbers[1]: ")


# Hostnames -----------------------------------------------------------------------------


@pytest.mark.parametrize(("hostname", "who"), [("a", "a"), ("b", "b+c"), ("c", "b+c")])
def test_a_hostname_picks_the_instance(several: AgentHost, hostname: str, who: str) -> None:
    assert ask(several, method="node.who", hostname=hostname)["result"] == who


def test_an_unknown_hostname_lists_those_that_are_known(several: AgentHost) -> None:
    envelope = ask(several, method="node.who", hostname="d")
    code, text = code_and_text(envelope)
    assert (code, envelope["error"]["known"]) == ("unknown_host", ["a", "b", "c"])
    assert text == "node.who is not served for d, only for a, b, c"


@pytest.mark.parametrize("absent", [{}, {"hostname": None}, {"hostname": ""}])
def test_an_absent_hostname_is_asked_for_where_several_could_be_meant(
    several: AgentHost, absent: dict[str, Any]
) -> None:
    envelope = ask(several, method="node.who", **absent)
    code, text = code_and_text(envelope)
    assert (code, envelope["error"]["field"]) == ("invalid_params", "hostname")
    assert "a, b, c" in text


@pytest.mark.parametrize("absent", [{}, {"hostname": None}, {"hostname": ""}])
def test_an_absent_hostname_is_the_only_instance(absent: dict[str, Any]) -> None:
    assert ask(AgentHost([Node("a", "b")]), method="node.who", **absent)["result"] == "a+b"


def test_an_instance_for_any_host_serves_what_has_no_instance_of_its_own() -> None:
    host = AgentHost([Node(), Node("a")])
    answers = [ask(host, method="node.who", hostname=name)["result"] for name in ("a", "z", "")]
    assert answers == ["a", "any", "any"]


def test_many_hostnames_are_listed_in_part() -> None:
    host = AgentHost([Node(f"h{number:02}") for number in range(12)])
    text = ask(host, method="node.who", hostname="x")["msg"]
    assert "h09 and 2 more" in text
    assert "h10" not in text


@pytest.mark.parametrize("pair", [("a", "a"), ()])
def test_a_method_served_twice_for_a_host_is_refused(pair: tuple[str, ...]) -> None:
    agents = [Node(name) for name in pair] or [Node(), Node()]
    with pytest.raises(AgentError, match="served twice for"):
        AgentHost(agents)


# What the host refuses to serve --------------------------------------------------------


def test_an_agent_needs_a_name_tasks_and_proper_hostnames() -> None:
    class Nameless(Node):
        name = ""

    class Idle(Agent):
        name = "idle"

    for agent, words in [
        (Nameless(), "Nameless has no name"),
        (Idle(), "has no tasks"),
        (Node("x" * 300), "1 to 255 characters"),
    ]:
        with pytest.raises(AgentError, match=words):
            AgentHost([agent])


def test_a_task_with_a_wrong_annotation_is_found_before_the_first_request() -> None:
    class Odd(Agent):
        name = "odd"

        @task("odd")
        def odd(self, msg: list[int]) -> None: ...

    with pytest.raises(AgentError, match="task odd"):
        AgentHost([Odd()])


# Limits --------------------------------------------------------------------------------


def test_a_reply_beyond_the_limit_is_too_large(host: AgentHost) -> None:
    body = json.dumps({"method": "node.echo", "data": "x" * 2000}).encode()
    whole = host.execute(body)
    assert host.execute(body, max_reply=len(whole.body)) == whole
    envelope = reply(host.execute(body, max_reply=len(whole.body) - 1))
    assert envelope["error"]["code"] == "too_large"
    assert envelope["error"]["size"] == len(whole.body)
    assert envelope["error"]["limit"] == len(whole.body) - 1
    assert str(len(whole.body)) in envelope["msg"]


def test_a_long_message_counts_too(host: AgentHost) -> None:
    assert host.execute(b'{"method": "node.answer"}', max_reply=1000).code == "too_large"


# Offers --------------------------------------------------------------------------------


def test_instances_of_one_agent_are_one_offer(several: AgentHost) -> None:
    (offer,) = several.offers()
    assert (offer.agent, offer.hosts) == ("node", ["a", "b", "c"])
    methods = {method.name: method for method in offer.methods}
    assert methods["node.echo"].retry_safe
    assert methods["node.echo"].doc == "Echo data."
    assert [param.name for param in methods["node.echo"].params] == ["data"]


def test_offers_do_not_change_the_agents(several: AgentHost) -> None:
    assert several.offers() == several.offers()
    assert several.agents[0].hostnames == ["a"]


def test_an_instance_for_any_host_is_an_offer_of_its_own() -> None:
    hosts = [offer.hosts for offer in AgentHost([Node("a"), Node(), Node("b")]).offers()]
    assert hosts == [["a", "b"], None]


def test_offers_fit_into_a_hello(several: AgentHost) -> None:
    hello = msgspec.convert(
        {"version": 1, "label": "w", "instance": "12345678", "session": 1, "pid": 1}
        | {"slots": 1, "ahead": 0, "offers": several.offers()},
        Hello,
    )
    assert decode_from_worker(list(encode(hello))) == hello


# Setup and teardown --------------------------------------------------------------------


def test_agents_are_set_up_in_order_and_torn_down_in_reverse() -> None:
    log: list[str] = []
    host = AgentHost([Node("a", log=log), Node("b", log=log)])
    assert log == []
    host.setup()
    host.teardown()
    assert log == ["setup a", "setup b", "teardown b", "teardown a"]


class Broken(Node):
    name = "broken"

    def setup(self) -> None:
        raise OSError("no route")

    def teardown(self) -> None:
        raise OSError("still no route")


def test_a_failed_setup_tears_down_what_was_set_up() -> None:
    log: list[str] = []
    host = AgentHost([Node("a", log=log), Broken("b"), Node("c", log=log)])
    with pytest.raises(AgentError, match="agent broken: setup failed: OSError: no route"):
        host.setup()
    assert log == ["setup a", "teardown a"]


def test_a_failed_teardown_is_logged_and_the_others_go_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log: list[str] = []
    AgentHost([Node("a", log=log), Broken("b")]).teardown()
    assert log == ["teardown a"]
    assert "agent broken: teardown failed" in caplog.text


# In this process -----------------------------------------------------------------------


def test_a_call_is_answered_as_on_the_wire(several: AgentHost) -> None:
    fields = {"method": "node.echo", "hostname": "a", "data": (1, float("nan"), {1: 2})}
    assert several.call(fields)["result"] == [1, None, {"1": 2}]
    assert set(fields) == {"method", "hostname", "data"}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({}, "bad_request"),
        ([], "bad_request"),
        ({"method": "node.echo", "data": object()}, "bad_request"),
        ({"method": "node.nothing"}, "unknown_method"),
        ({"method": "node.who"}, "invalid_params"),
        ({"method": "node.who", "hostname": "z"}, "unknown_host"),
        ({"method": "node.fail", "hostname": "a"}, "task_failed"),
    ],
)
def test_a_call_never_raises(several: AgentHost, fields: Any, code: str) -> None:
    assert several.call(fields)["error"]["code"] == code


# Threads -------------------------------------------------------------------------------


def test_many_threads_may_call_at_once(several: AgentHost) -> None:
    barrier = threading.Barrier(8)

    def run(number: int) -> list[Any]:
        barrier.wait(timeout=30)
        hostname = "abc"[number % 3]
        return [
            ask(several, method="node.echo", hostname=hostname, data=[number, step])["result"]
            for step in range(200)
        ]

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(run, range(8)))
    assert results == [[[number, step] for step in range(200)] for number in range(8)]
