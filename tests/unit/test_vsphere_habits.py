"""Requests as vPoller's Zabbix module and its C client write them."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
import pytest

pytest.importorskip("pyVmomi")

from vpoller_like.agent import Agent, Secret, task
from workers.vsphere.params import Get, VSphereParams


class Sample(VSphereParams, frozen=True):
    name: Annotated[str, msgspec.Meta(min_length=1)]
    properties: list[str] = []
    names: list[str] = []
    key: str | None = None
    counter: Annotated[str | int, msgspec.Meta(description="what")] = msgspec.field(
        name="counter-name", default="none"
    )
    samples: Annotated[int, msgspec.Meta(ge=1)] = msgspec.field(name="max-sample", default=1)
    seconds: float | None = None
    password: Secret[str] = ""


class Echo(Agent):
    name = "echo"

    @task("echo")
    def echo(self, msg: Sample) -> Any:
        return msg

    @task("get")
    def get(self, msg: Get) -> Any:
        return msg


def read(**given: Any) -> dict[str, Any]:
    envelope = Echo().echo({"name": "vm01"} | {k.replace("_", "-"): v for k, v in given.items()})
    assert envelope["success"] == 0, envelope["msg"]
    result: dict[str, Any] = envelope["result"]
    return result


def fault(**given: Any) -> dict[str, Any]:
    envelope = Echo().echo({k.replace("_", "-"): v for k, v in given.items()})
    assert envelope["success"] == 1
    error: dict[str, Any] = envelope["error"]
    return error


@pytest.mark.parametrize("unset", ["", "(null)", "null", None])
def test_what_is_not_set_is_absent(unset: Any) -> None:
    found = read(key=unset, counter_name=unset, max_sample=unset, seconds=unset, properties=unset)
    assert found == read()


@pytest.mark.parametrize("unset", ["", "(null)", "null", None])
def test_a_required_parameter_that_is_not_set_is_missing(unset: Any) -> None:
    assert fault(name=unset) == {"code": "invalid_params", "retryable": False, "field": "name"}


def test_a_password_may_be_the_word_null() -> None:
    assert read(password="null")["password"] == "null"
    assert read(password="(null)")["password"] == ""


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        (["name,runtime.powerState"], ["name", "runtime.powerState"]),
        (["name", "guest, summary ,"], ["name", "guest", "summary"]),
        (["(null)"], []),
        ([""], []),
        (["null", "name"], ["name"]),
        (['config.option["a,b"],name'], ['config.option["a,b"]', "name"]),
        (["device[2000,name"], ["device[2000", "name"]),
    ],
)
def test_properties_are_split_at_commas(sent: list[str], meant: list[str]) -> None:
    assert read(properties=sent)["properties"] == meant


@pytest.mark.parametrize("text", [",", "[,", "[", "],"])
def test_a_request_full_of_commas_holds_up_nobody(text: str) -> None:
    # Hours, where each comma looks for a bracket in all that follows.
    many = text * ((1 << 19) // len(text))
    assert set(read(properties=[many])["properties"]) <= {many, "[", "]"}


def test_names_are_not_split_for_they_may_have_commas() -> None:
    assert read(names=["a,b", "null"])["names"] == ["a,b", "null"]


def test_the_counter_has_two_names() -> None:
    assert read(counter_id="24")["counter-name"] == "24"
    assert read(counter_id="24", counter_name="(null)")["counter-name"] == "24"
    assert read(counter_id="24", counter_name="cpu")["counter-name"] == "cpu"
    assert read(counter_id="(null)")["counter-name"] == "none"


def test_numbers_may_be_text() -> None:
    found = read(max_sample="3", seconds="1.5", key="7", counter_name="24")
    assert (found["max-sample"], found["seconds"]) == (3, 1.5)
    assert (found["key"], found["counter-name"]) == ("7", "24")


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": "x", "max_sample": "many"}, "max-sample"),
        ({"name": "x", "max_sample": "9" * 5000}, "max-sample"),
        ({"name": "x", "max_sample": "0"}, "max-sample"),
        ({"name": "x", "properties": "name"}, "properties"),
        ({"name": "x", "properties": [1]}, "properties[0]"),
        ({"name": 7}, "name"),
    ],
)
def test_what_is_wrong_is_still_named(given: dict[str, Any], field: str) -> None:
    assert fault(**given)["field"] == field


def test_the_request_of_the_zabbix_module_is_understood() -> None:
    sent = {
        "name": "vm01",
        "properties": ["runtime.powerState"],
        "key": "(null)",
        "username": "(null)",
        "password": "(null)",
        "counter-name": "(null)",
        "max-sample": "1",
        "instance": "(null)",
        "perf-interval": "(null)",
    }
    envelope = Echo().get(sent)
    assert envelope["success"] == 0
    assert envelope["result"]["properties"] == ["runtime.powerState"]
