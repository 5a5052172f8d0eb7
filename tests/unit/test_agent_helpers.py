"""Helpers: found by their entry points, and never in the way of what they are not for."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import msgpack
import pytest

from vpoller_like.agent import Agent, AgentHost, Params, Secret, helpers, task
from vpoller_like.client import LocalClient
from vpoller_like.errors import TaskFailed

ENTRIES = """\
[vpoller_like.helpers]
words = shown_helpers:words
peek = shown_helpers:peek
number = shown_helpers:number
broken = shown_helpers:broken
leaving = shown_helpers:leaving
half = shown_helpers:half
long = shown_helpers:long
data = shown_helpers:DATA
missing = no_such_module:words
dotted.name.words = shown_helpers:words
"""
MODULE = """\
import sys

def words(method, params, envelope):
    if envelope["success"]:
        return "failed: " + envelope["msg"]
    return f"{method} said {envelope['result']}"

def peek(method, params, envelope):
    return repr(sorted(params.items()))

def number(method, params, envelope):
    return 42

def broken(method, params, envelope):
    raise KeyError("it knew p4ssw0rd")

def leaving(method, params, envelope):
    sys.exit(3)

def half(method, params, envelope):
    return "\\ud800"

def long(method, params, envelope):
    return "x" * 1000

DATA = 1
"""


@pytest.fixture(autouse=True)
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    info = tmp_path / "shown-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: shown\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(ENTRIES)
    (tmp_path / "shown_helpers.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))
    helpers.available_helpers.cache_clear()
    helpers._load.cache_clear()
    yield
    sys.modules.pop("shown_helpers", None)
    helpers.available_helpers.cache_clear()
    helpers._load.cache_clear()


class Named(Params, frozen=True):
    name: str = "me"
    password: Secret[str] = ""

    @classmethod
    def prepare(cls, given: dict[str, Any]) -> dict[str, Any]:
        return {"name" if key == "alias" else key: value for key, value in given.items()}


class Owner(Params, frozen=True):
    helper: str = ""


class Sample(Agent):
    name = "sample"

    def __init__(self) -> None:
        self.runs = 0

    @task("sample.get")
    def get(self, msg: Named) -> Any:
        self.runs += 1
        return msg.name

    @task("sample.keys")
    def keys(self, msg: dict[str, Any]) -> Any:
        return sorted(msg)

    @task("sample.fail")
    def fail(self, _msg: dict[str, Any]) -> Any:
        raise TaskFailed("no such thing", reason="not_found")

    @task("sample.own")
    def own(self, msg: Owner) -> str:
        return f"own {msg.helper}"


def body(helper: Any, method: str = "sample.get", **more: Any) -> bytes:
    return json.dumps({"method": method, "helper": helper, **more}).encode()


def bare(helper: Any, method: str = "sample.get", **more: Any) -> bytes:
    return AgentHost([Sample()]).execute(body(helper, method, **more)).body


def envelope(helper: Any, method: str = "sample.get", **more: Any) -> dict[str, Any]:
    reply = AgentHost([Sample()]).execute(body(helper, method, meta={}, **more))
    told: dict[str, Any] = json.loads(reply.body)
    assert reply.code == told.get("error", {}).get("code", "")
    return told


def test_the_text_is_the_whole_reply_to_a_request_without_meta() -> None:
    assert bare("words") == b"sample.get said me"
    assert bare("dotted.name.words", name="Zoë") == "sample.get said Zoë".encode()
    assert bare("words", meta=None) == b"sample.get said me"


def test_the_text_is_the_result_where_there_is_meta() -> None:
    told = envelope("words")
    assert told == {
        "success": 0,
        "msg": "Successfully ran the task",
        "result": "sample.get said me",
    }


def test_messagepack_gets_the_text_as_a_string_of_its_own() -> None:
    host = AgentHost([Sample()])
    request = {"method": "sample.get", "helper": "words"}
    assert msgpack.unpackb(host.execute(msgpack.packb(request)).body) == "sample.get said me"
    whole = msgpack.unpackb(host.execute(msgpack.packb({**request, "meta": {}})).body)
    assert whole["result"] == "sample.get said me"


def test_an_error_is_told_by_the_helper_or_as_ever() -> None:
    assert bare("words", "sample.fail") == b"failed: no such thing"
    assert AgentHost([Sample()]).execute(body("words", "sample.fail")).code == "task_failed"
    told = envelope("words", "sample.fail")
    assert (told["msg"], told["error"]["reason"]) == ("no such thing", "not_found")


@pytest.mark.parametrize("unset", [None, "", "(null)", "null"])
def test_no_helper_is_asked_for_in_many_ways(unset: Any) -> None:
    assert json.loads(bare(unset))["result"] == "me"


def test_a_task_does_not_see_which_helper_is_asked_for() -> None:
    assert b"['a']" in bare("words", "sample.keys", a=1)


def test_a_task_may_have_a_parameter_of_that_name() -> None:
    assert json.loads(bare("words", "sample.own"))["result"] == "own words"


def test_an_unknown_helper_is_an_error_before_anything_runs() -> None:
    agent = Sample()
    told = json.loads(AgentHost([agent]).execute(body("word")).body)
    assert told["error"]["code"] == "invalid_params"
    assert told["error"]["field"] == "helper"
    assert {"words", "number"} <= set(told["error"]["known"])
    assert "no helper word is installed at the worker; did you mean words?" in told["msg"]
    assert agent.runs == 0


@pytest.mark.parametrize("wrong", [7, [], {}, True, ["words"]])
def test_a_helper_is_named_by_a_text(wrong: Any) -> None:
    told = json.loads(bare(wrong))
    assert (told["error"]["code"], told["error"]["field"]) == ("invalid_params", "helper")


@pytest.mark.parametrize(
    ("helper", "why"),
    [
        ("broken", "KeyError"),
        ("number", "it returned int, not str"),
        ("leaving", "SystemExit: 3"),
        ("half", "UnicodeEncodeError"),
        ("data", "cannot be called"),
        ("missing", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_a_helper_that_fails_is_named_and_harms_nobody(helper: str, why: str) -> None:
    host = AgentHost([Sample()])
    told = json.loads(host.execute(body(helper)).body)
    assert told["error"]["code"] == "task_failed"
    assert told["error"]["reason"] == "helper"
    assert told["msg"].startswith(f"helper {helper} ")
    assert why in told["msg"]
    assert host.execute(body("words")).body == b"sample.get said me"


def test_a_helper_sees_prepared_parameters_and_no_secrets(caplog: pytest.LogCaptureFixture) -> None:
    given = {"alias": "you", "password": "p4ssw0rd", "api_key": "k3y", "other": 1}
    assert bare("peek", **given) == b"[('name', 'you'), ('other', 1)]"
    told = json.loads(bare("broken", **given))
    assert told["msg"] == "helper broken failed for sample.get: KeyError: 'it knew ***'"
    assert "p4ssw0rd" not in caplog.text


def test_a_text_that_is_too_long_is_an_error() -> None:
    host = AgentHost([Sample()])
    assert host.execute(body("long"), max_reply=1000).body == b"x" * 1000
    told = json.loads(host.execute(body("long"), max_reply=999).body)
    assert told["error"]["code"] == "too_large"


def test_local_use_gets_the_text_as_the_result() -> None:
    agent = Sample()
    assert agent.get({"helper": "words"})["result"] == "sample.get said me"
    assert agent.get({"helper": "word"})["error"]["field"] == "helper"
    with LocalClient([Sample()]) as client:
        assert client.call("sample.get", helper="words") == "sample.get said me"
        assert client.run({"method": "sample.get", "helper": "words"})["success"] == 0


def test_two_packages_cannot_provide_one_helper(tmp_path: Path) -> None:
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[vpoller_like.helpers]\nwords = other:words\n")
    told = json.loads(bare("words"))
    assert "provided twice, as other:words and shown_helpers:words" in told["msg"]


def test_a_helper_is_any_function_of_that_form() -> None:
    def mine(method: str, params: Mapping[str, Any], envelope: Mapping[str, Any]) -> str:
        return f"{method}{params}{envelope}"

    helper: helpers.Helper = mine
    assert helper("m", {}, {}) == "m{}{}"


def test_the_helper_of_the_how_to_works() -> None:
    page = Path(__file__).parents[2] / "docs" / "howto" / "write-an-agent.rst"
    lines = page.read_text().splitlines()
    start = next(at for at, line in enumerate(lines) if "def shout(" in line)
    code = "\n".join(line.removeprefix("   ") for line in lines[start : start + 3])
    made: dict[str, Any] = {}
    exec(code, made)
    assert made["shout"]("m", {}, {"success": 0, "msg": "Done", "result": ["a"]}) == "['A']"
    assert made["shout"]("m", {}, {"success": 1, "msg": "no such thing"}) == "NO SUCH THING"
