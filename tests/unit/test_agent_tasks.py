"""Tasks: declaring, inheriting and calling them directly."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import functools
import gc
import ipaddress
import pathlib
import types
import uuid
from typing import Any

import msgspec
import pytest

from vpoller_like.agent import Agent, Answer, Params, task
from vpoller_like.agent.host import AgentHost
from vpoller_like.errors import AgentError, RequestError, TaskFailed, UnknownHost


class Colour(enum.Enum):
    RED = "red"


class Point(msgspec.Struct):
    x: int


@dataclasses.dataclass
class Pair:
    left: int


class Name(Params, frozen=True):
    name: str = "world"


class Foreign:
    """A value of some library that JSON has never heard of."""


class NotFound(RequestError):
    """An agent's own kind of answer, with a constructor of its own."""

    code = "not_found"

    def __init__(self, what: str) -> None:
        super().__init__(f"there is no {what}", what=what)


class Greeter(Agent):
    name = "greeter"

    @task("greet", retry_safe=True, timeout=2.5, msg="Greeted")
    def greet(self, msg: Name) -> str:
        """Say hello.

        More words.
        """
        return f"hello {msg.name}"

    @task("raw")
    def raw(self, msg):  # type: ignore[no-untyped-def]
        return msg

    @task("mapping")
    def mapping(self, msg: dict[str, Any]) -> Any:
        return msg

    @task("answer")
    def answer(self, msg: dict[str, Any]) -> Answer:
        return Answer(msg, msg="Answered")

    @task("raises")
    def raises(self, msg: dict[str, Any]) -> Any:
        raise msg["error"]

    @task("gives")
    def gives(self, msg: dict[str, Any]) -> Any:
        return GIVEN[msg["key"]]


GIVEN: dict[str, Any] = {
    "datetime": dt.datetime(2026, 11, 22, 3, 4, 5, tzinfo=dt.UTC),
    "date": dt.date(2026, 11, 22),
    "uuid": uuid.UUID(int=1),
    "decimal": decimal.Decimal("1.50"),
    "enum": Colour.RED,
    "set": {3},
    "bytes": b"abc",
    "struct": Point(1),
    "dataclass": Pair(2),
    "tuple": (1, 2),
    "path": pathlib.Path("/tmp"),
    "ip": ipaddress.ip_address("127.0.0.1"),
    "view": {"a": 1}.values(),
    "proxy": types.MappingProxyType({"a": 1}),
    "nan": float("nan"),
    "infinity": float("inf"),
    "integer key": {1: "one"},
    "foreign": {"disks": [{"name": "a"}, {"name": Foreign()}]},
    "surrogate": {"text": "\udcff"},
    "bad key": {"table": {(1, 2): 3}},
    "struct with foreign": Point(Foreign()),  # type: ignore[arg-type]
}
LOOP: list[Any] = []
LOOP.append(LOOP)
GIVEN["loop"] = LOOP


def result_of(key: str) -> Any:
    envelope = Greeter().gives({"key": key})
    assert envelope["success"] == 0, envelope
    return envelope["result"]


def test_a_direct_call_returns_the_envelope() -> None:
    assert Greeter().greet(msg={"name": "you"}) == {
        "success": 0,
        "msg": "Greeted",
        "result": "hello you",
    }


@pytest.mark.parametrize("arguments", [(), (None,), ({},)])
def test_a_direct_call_needs_no_parameters(arguments: tuple[Any, ...]) -> None:
    assert Greeter().greet(*arguments)["result"] == "hello world"


def test_a_task_without_annotation_gets_the_parameters_alone() -> None:
    sent = {"method": "raw", "hostname": "h", "meta": {"id": "1"}, "name": "n", "unset": None}
    for attribute in ("raw", "mapping"):
        assert getattr(Greeter(), attribute)(sent)["result"] == {"name": "n", "unset": None}


def test_a_direct_call_cannot_change_what_its_caller_holds() -> None:
    inner: list[int] = [1]
    envelope = Greeter().raw({"list": inner})
    envelope["result"]["list"].append(2)
    assert inner == [1]


def test_a_direct_call_with_what_is_no_object_is_a_bad_request() -> None:
    envelope = Greeter().greet([1])  # type: ignore[arg-type]
    assert (envelope["success"], envelope["error"]["code"]) == (1, "bad_request")
    assert "object" in envelope["msg"]


def test_a_direct_call_with_what_json_does_not_know_is_a_bad_request() -> None:
    envelope = Greeter().raw({"x": Foreign()})
    assert envelope["error"]["code"] == "bad_request"
    assert "Foreign" in envelope["msg"]


def test_the_undecorated_function_is_at_hand() -> None:
    agent = Greeter()
    assert agent.greet.function(Name("me")) == "hello me"
    assert Greeter.greet.function(agent, Name("me")) == "hello me"


def test_an_answer_sets_the_message_of_one_call() -> None:
    assert Greeter().answer({"a": 1}) == {"success": 0, "msg": "Answered", "result": {"a": 1}}


def test_a_declaration_carries_its_flags_and_the_first_line_of_its_doc() -> None:
    method = Greeter.greet.method()
    assert (method.name, method.retry_safe, method.timeout_ms) == ("greet", True, 2500)
    assert method.doc == "Say hello."
    assert not Greeter.raw.method().retry_safe
    assert Greeter.raw.method().timeout_ms == 60_000


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("datetime", "2026-11-22T03:04:05Z"),
        ("date", "2026-11-22"),
        ("uuid", "00000000-0000-0000-0000-000000000001"),
        ("decimal", "1.50"),
        ("enum", "red"),
        ("set", [3]),
        ("bytes", "YWJj"),
        ("struct", {"x": 1}),
        ("dataclass", {"left": 2}),
        ("tuple", [1, 2]),
        ("path", "/tmp"),
        ("ip", "127.0.0.1"),
        ("view", [1]),
        ("proxy", {"a": 1}),
        ("nan", None),
        ("infinity", None),
        ("integer key", {"1": "one"}),
    ],
)
def test_results_are_encoded_as_on_the_wire(key: str, expected: Any) -> None:
    assert result_of(key) == expected


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("foreign", "result.disks[1].name: "),
        ("surrogate", "result.text: "),
        ("bad key", "result.table: "),
        ("struct with foreign", "result.x: "),
        ("loop", "result: "),
    ],
)
def test_a_result_that_cannot_be_written_is_named_by_its_path(key: str, path: str) -> None:
    envelope = Greeter().gives({"key": key})
    assert envelope["error"]["code"] == "task_failed"
    assert envelope["msg"].startswith(f"Cannot serialize result: {path}")


def test_what_writes_a_result_lives_while_another_thread_gets_ready_too() -> None:
    """The compiled one was gone, and used, where two threads ran a task's first requests."""
    lives: list[bool] = []

    class Node(Agent):
        name = "node"

        @task("node.get")
        def get(self, _msg: dict[str, Any]) -> Any:
            return Foreign()

        def encode_value(self, value: Any) -> Any:
            bound = host._routes["node.get"].usual
            assert bound is not None
            mark = id(bound._writer)
            bound._make_ready()
            lives.append(any(id(one) == mark for one in gc.get_objects()))
            return "foreign" if isinstance(value, Foreign) else super().encode_value(value)

    host = AgentHost([Node()])
    assert host.call({"method": "node.get"})["result"] == "foreign"
    assert lives == [True]


def test_an_agent_can_encode_a_value_of_its_own() -> None:
    class Knowing(Greeter):
        def encode_value(self, value: Any) -> Any:
            return "foreign" if isinstance(value, Foreign) else super().encode_value(value)

    agent = Knowing()
    assert agent.gives({"key": "foreign"})["result"] == {
        "disks": [{"name": "a"}, {"name": "foreign"}]
    }
    assert agent.gives({"key": "path"})["result"] == "/tmp"


def raising(error: BaseException) -> Agent:
    class Raising(Agent):
        name = "raising"

        @task("t")
        def t(self, _msg: dict[str, Any]) -> None:
            raise error

    return Raising()


def answer_to(error: BaseException) -> dict[str, Any]:
    envelope: dict[str, Any] = raising(error).t()  # type: ignore[attr-defined]
    assert envelope["success"] == 1
    return envelope


def test_an_exception_becomes_task_failed_and_its_traceback_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    envelope = answer_to(ValueError("no such thing"))
    assert envelope["msg"] == "Task t failed: ValueError: no such thing"
    assert envelope["error"] == {
        "code": "task_failed",
        "retryable": False,
        "exception": "ValueError",
    }
    (record,) = caplog.records
    assert (record.name, record.action) == ("vpoller.agent", "task_failed")  # type: ignore[attr-defined]
    assert "Traceback" in record.getMessage()
    assert "raise error" in record.getMessage()


def test_an_answer_that_is_raised_keeps_its_code_and_details(
    caplog: pytest.LogCaptureFixture,
) -> None:
    envelope = answer_to(UnknownHost("not here", known=["a"]))
    assert envelope["msg"] == "not here"
    assert envelope["error"] == {"code": "unknown_host", "retryable": False, "known": ["a"]}
    assert not caplog.records


def test_an_agents_own_kind_of_answer_keeps_its_code() -> None:
    assert answer_to(NotFound("vm01"))["error"] == {
        "code": "not_found",
        "retryable": False,
        "what": "vm01",
    }


def test_an_answer_without_a_code_says_that_the_task_failed() -> None:
    assert answer_to(RequestError("no"))["error"]["code"] == "task_failed"


def test_details_cannot_take_the_place_of_the_code() -> None:
    assert answer_to(TaskFailed("no", code="ok", retryable=True))["error"] == {
        "code": "task_failed",
        "retryable": False,
    }


def test_an_error_that_cannot_be_written_is_told_all_the_same() -> None:
    envelope = answer_to(TaskFailed("file \udcff", size=2**90))
    assert envelope["error"]["code"] == "task_failed"
    assert envelope["msg"] == "file \\udcff"
    assert answer_to(OSError("file \udcff"))["msg"] == "Task t failed: OSError: file \\udcff"


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize("error", [ValueError(), Mute(), RecursionError(), GeneratorExit()])
def test_any_exception_is_answered(error: BaseException) -> None:
    assert answer_to(error)["msg"].startswith(f"Task t failed: {type(error).__name__}")


def test_a_long_text_is_cut() -> None:
    assert len(answer_to(ValueError("x" * 100_000))["msg"]) < 5000


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_the_process_can_still_be_ended(error: type[BaseException]) -> None:
    with pytest.raises(error):
        raising(error()).t()  # type: ignore[attr-defined]


# Inheritance ---------------------------------------------------------------------------


def test_a_subclass_inherits_tasks() -> None:
    class Child(Greeter):
        name = "child"

        @task("extra")
        def extra(self, _msg: dict[str, Any]) -> int:
            return 1

    agent = Child()
    assert agent.greet()["result"] == "hello world"
    assert agent.extra()["result"] == 1
    assert not hasattr(Greeter(), "extra")


def test_a_subclass_can_declare_a_task_anew() -> None:
    class Child(Greeter):
        @task("greet", msg="Greeted anew")
        def greet(self, msg: Name) -> str:
            return super().greet.function(msg).upper()

    envelope = Child().greet({"name": "you"})
    assert (envelope["msg"], envelope["result"]) == ("Greeted anew", "HELLO YOU")
    assert not Child.greet.method().retry_safe


def test_a_plain_override_is_the_same_task() -> None:
    class Child(Greeter):
        def greet(self, msg: Name) -> str:  # type: ignore[override]
            return f"goodbye {msg.name}"

    assert Child().greet()["result"] == "goodbye world"
    method = Child.greet.method()  # type: ignore[attr-defined]
    assert (method.name, method.retry_safe, method.doc) == ("greet", True, "Say hello.")


def test_a_task_can_come_from_a_mixin() -> None:
    class Pings:
        @task("ping")
        def ping(self, _msg: dict[str, Any]) -> str:
            return "pong"

    class Pinger(Pings, Agent):
        name = "pinger"

    assert Pinger().ping()["result"] == "pong"


def test_two_tasks_of_one_name_are_refused() -> None:
    with pytest.raises(AgentError, match=r"two tasks named same: .*one and .*two"):

        class Doubled(Agent):
            @task("same")
            def one(self, msg: dict[str, Any]) -> None: ...

            @task("same")
            def two(self, msg: dict[str, Any]) -> None: ...


# What cannot be a task -----------------------------------------------------------------


def good(self: Any, msg: dict[str, Any]) -> None: ...


def without_msg(self: Any) -> None: ...


async def asynchronous(self: Any, msg: dict[str, Any]) -> None: ...


@pytest.mark.parametrize(
    ("function", "arguments", "words"),
    [
        (without_msg, {"name": "t"}, "one more argument"),
        (asynchronous, {"name": "t"}, "not async def"),
        (functools.partial(good, None), {"name": "t"}, "plain method"),
        (good, {"name": ""}, "1 to 128"),
        (good, {"name": "has space"}, "without spaces"),
        (good, {"name": "x" * 129}, "1 to 128"),
        (good, {"name": "t", "timeout": 0}, "timeout must be more than 0"),
        (good, {"name": "t", "timeout": float("nan")}, "timeout must be more than 0"),
    ],
)
def test_what_cannot_be_a_task_is_refused(
    function: Any, arguments: dict[str, Any], words: str
) -> None:
    with pytest.raises(AgentError, match=words):
        task(**arguments)(function)
