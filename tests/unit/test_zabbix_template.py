"""The Zabbix template: what Zabbix 6 takes, about methods and macros that there are."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.tools import require_tool
from workers.vsphere.helpers.lld import macro
from workers.vsphere.helpers.zabbix import SHAPES

PLACE = Path(__file__).resolve().parents[2] / "etc" / "zabbix"
EXPORT = yaml.safe_load((PLACE / "template-vsphere.yaml").read_text())["zabbix_export"]
(TEMPLATE,) = EXPORT["templates"]
NAME = TEMPLATE["template"]
ITEMS = TEMPLATE["items"]
RULES = TEMPLATE["discovery_rules"]
PROTOTYPES = [prototype for rule in RULES for prototype in rule["item_prototypes"]]

#: What an element may have and must have, as Zabbix 6.0 imports it.
ITEM = {
    *("uuid", "name", "type", "key", "delay", "history", "trends", "value_type", "units"),
    *("description", "valuemap", "preprocessing", "master_item", "tags"),
}
RULE = {
    *("uuid", "name", "type", "key", "delay", "filter", "lifetime", "description"),
    *("item_prototypes", "graph_prototypes"),
}
TRIGGER = {
    *("uuid", "expression", "name", "opdata", "priority", "manual_close", "description"),
    *("dependencies", "tags"),
}
STEPS = {
    "JSONPATH": 1,
    "REGEX": 2,
    "NOT_MATCHES_REGEX": 1,
    "JAVASCRIPT": 1,
    "MULTIPLIER": 1,
    "BOOL_TO_DECIMAL": 1,
    "DISCARD_UNCHANGED_HEARTBEAT": 1,
}
#: Steps that Zabbix refuses a handler of errors for.
WITHOUT_HANDLER = {"JAVASCRIPT", "DISCARD_UNCHANGED_HEARTBEAT"}
OPTIONS = [
    *("-e", "{$VPOLLER.ENDPOINT}", "-t", "{$VPOLLER.TIMEOUT}"),
    *("-k", "{$VPOLLER.KEY}", "-s", "{$VPOLLER.SERVERKEY}"),
]
PRIORITIES = {"INFO", "WARNING", "AVERAGE", "HIGH", "DISASTER"}
PERIOD = re.compile(r"[0-9]+[smhdw]?|\{\$[A-Z.]+\}")
CHECK = re.compile(r'vpoller-check\[("[^"\]]*"(?:,"[^"\]]*")*)\]')
LLD_MACRO = re.compile(r"\{#[A-Z0-9_.]+\}")
USER_MACRO = re.compile(r"\{\$[A-Z0-9_.]+")


def elements(part: Any) -> Iterator[dict[str, Any]]:
    """Yield every object in ``part``, at any depth."""
    if isinstance(part, dict):
        yield part
        for inner in part.values():
            yield from elements(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from elements(inner)


def texts(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        yield from (text for inner in part.values() for text in texts(inner))
    elif isinstance(part, list):
        yield from (text for inner in part for text in texts(inner))


def words_of(key: str) -> list[str]:
    """Return the arguments of the external check that an item's ``key`` calls."""
    found = CHECK.fullmatch(key)
    assert found, key
    return [word[1:-1] for word in re.findall(r'"[^"]*"', found[1])]


def asked(key: str) -> tuple[str, list[str]]:
    """Return the method that ``key`` asks for, and the properties, with the name."""
    method, host, *more = [w for w in words_of(key)[len(OPTIONS) :] if w != "--json"]
    assert host == "{$VSPHERE.HOST}"
    properties = more[1].split(",") if len(more) > 1 and more[1] != "null" else []
    inherent = ["name", "info.url"] if method.startswith("datastore") else ["name"]
    return method, [*inherent, *properties]


def triggers() -> Iterator[dict[str, Any]]:
    for item in ITEMS:
        yield from item.get("triggers", ())
    for prototype in PROTOTYPES:
        yield from prototype.get("trigger_prototypes", ())


def test_it_is_an_export_of_zabbix_6() -> None:
    assert EXPORT["version"] == "6.0"
    assert {group["name"] for group in TEMPLATE["groups"]} <= {g["name"] for g in EXPORT["groups"]}
    assert all(isinstance(text, str) for text in (EXPORT["version"], EXPORT["date"]))


def test_every_uuid_is_a_version_4_one_and_its_own() -> None:
    found = [element["uuid"] for element in elements(EXPORT) if "uuid" in element]
    assert len(found) > 50
    assert len(set(found)) == len(found)
    for uuid in found:
        assert re.fullmatch(r"[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}", uuid)


def test_elements_that_need_a_uuid_have_one() -> None:
    graphs = [graph for rule in RULES for graph in rule["graph_prototypes"]]
    needy = [*EXPORT["groups"], TEMPLATE, *ITEMS, *RULES, *PROTOTYPES, *triggers(), *graphs]
    assert all("uuid" in element for element in [*needy, *TEMPLATE["valuemaps"]])


@pytest.mark.parametrize("item", [*ITEMS, *PROTOTYPES], ids=lambda item: item["name"])
def test_an_item_is_what_zabbix_takes(item: dict[str, Any]) -> None:
    assert set(item) <= ITEM | {"triggers", "trigger_prototypes"}
    assert item["type"] in ("EXTERNAL", "DEPENDENT")
    assert item.get("value_type", "UNSIGNED") in ("UNSIGNED", "FLOAT", "CHAR", "TEXT")
    assert len(item["key"]) <= 2048
    assert len(item["name"]) <= 255
    for field in ("delay", "history", "trends"):
        assert isinstance(item.get(field, ""), str)
        assert PERIOD.fullmatch(item.get(field, "0"))
    if item.get("value_type") in ("CHAR", "TEXT"):
        assert item["trends"] == "0"
        assert "units" not in item
    if "valuemap" in item:
        assert item["valuemap"]["name"] in {each["name"] for each in TEMPLATE["valuemaps"]}


@pytest.mark.parametrize("item", [*ITEMS, *PROTOTYPES], ids=lambda item: item["name"])
def test_its_preprocessing_is_what_zabbix_takes(item: dict[str, Any]) -> None:
    for step in item.get("preprocessing", ()):
        assert set(step) <= {"type", "parameters", "error_handler"}
        assert len(step["parameters"]) == STEPS[step["type"]]
        assert all(isinstance(parameter, str) for parameter in step["parameters"])
        assert step.get("error_handler", "DISCARD_VALUE") == "DISCARD_VALUE"
        assert "error_handler" not in step or step["type"] not in WITHOUT_HANDLER
    if item["type"] == "EXTERNAL":
        assert "master_item" not in item
        return
    assert item["delay"] == "0"
    assert item["master_item"]["key"] in {i["key"] for i in ITEMS if i["type"] == "EXTERNAL"}


def test_keys_are_unique() -> None:
    keys = [element["key"] for element in [*ITEMS, *PROTOTYPES, *RULES]]
    assert len(set(keys)) == len(keys)


def test_every_check_asks_for_a_method_that_there_is() -> None:
    checks = [e["key"] for e in [*ITEMS, *RULES] if e["type"] == "EXTERNAL"]
    for key in checks:
        assert words_of(key)[: len(OPTIONS)] == OPTIONS
        assert asked(key)[0] in SHAPES
    assert {asked(key)[0] for key in checks} >= {
        f"{kind}.discover" for kind in ("vm", "host", "datastore", "cluster")
    }


def test_a_check_can_be_given_to_a_shell() -> None:
    for key in (e["key"] for e in [*ITEMS, *RULES] if e["type"] == "EXTERNAL"):
        assert shlex.split(" ".join(f"'{word}'" for word in words_of(key))) == words_of(key)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["name"])
def test_a_rule_uses_the_macros_that_its_discovery_has(rule: dict[str, Any]) -> None:
    assert set(rule) <= RULE
    method, properties = asked(rule["key"])
    given = {macro(method.removesuffix(".discover"), name) for name in properties}
    used = {found for text in texts(rule) for found in LLD_MACRO.findall(text)}
    assert used
    assert used <= given
    for condition in rule["filter"]["conditions"]:
        assert condition["macro"] in given
        assert condition.get("operator", "MATCHES_REGEX") in ("MATCHES_REGEX", "NOT_MATCHES_REGEX")


@pytest.mark.parametrize("prototype", PROTOTYPES, ids=lambda item: item["key"])
def test_a_prototype_finds_its_value_in_what_its_master_asks_for(prototype: dict[str, Any]) -> None:
    _, collected = asked(prototype["master_item"]["key"])
    path = prototype["preprocessing"][0]["parameters"][0]
    matched = re.fullmatch(r'\$\[\?\(@\["(.+?)"\] == "(.+?)"\)\](?:\["(.+?)"\])?\.first\(\)', path)
    assert matched, path
    key, value, wanted = matched.groups()
    kind = asked(prototype["master_item"]["key"])[0].removesuffix(".discover")
    assert value == macro(kind, key)
    assert key in collected
    assert wanted is None or wanted in collected
    code = " ".join(p for step in prototype["preprocessing"][1:] for p in step["parameters"])
    assert set(re.findall(r'\w\["([^"]+)"\]', code)) <= set(collected)
    assert value in prototype["key"]


def test_every_object_is_told_by_its_own_macro() -> None:
    for rule in RULES:
        for prototype in rule["item_prototypes"]:
            assert LLD_MACRO.search(prototype["key"])
            assert LLD_MACRO.search(prototype["name"])


def test_triggers_are_about_items_that_there_are() -> None:
    keys = {element["key"] for element in [*ITEMS, *PROTOTYPES]}
    names = [trigger["name"] for trigger in triggers()]
    assert len(set(names)) == len(names) > 10
    known = {(trigger["name"], trigger["expression"]) for trigger in triggers()}
    for trigger in triggers():
        assert set(trigger) <= TRIGGER
        assert trigger["priority"] in PRIORITIES
        about = re.findall(rf"\w+\(/{re.escape(NAME)}/(.+?\])(?:,[^()]*)?\)", trigger["expression"])
        assert about
        assert set(about) <= keys
        for other in trigger.get("dependencies", ()):
            assert (other["name"], other["expression"]) in known


def test_graphs_are_about_prototypes_of_their_rule() -> None:
    for rule in RULES:
        keys = {prototype["key"] for prototype in rule["item_prototypes"]}
        assert rule["graph_prototypes"]
        for graph in rule["graph_prototypes"]:
            for line in graph["graph_items"]:
                assert line["item"]["host"] == NAME
                assert line["item"]["key"] in keys
                assert re.fullmatch(r"[0-9A-F]{6}", line["color"])


def test_every_user_macro_is_defined_and_told_about() -> None:
    defined = {each["macro"][:-1]: each for each in TEMPLATE["macros"]}
    used = {found for text in texts(TEMPLATE) for found in USER_MACRO.findall(text)}
    assert used == set(defined)
    assert all(each["description"] for each in defined.values())


def leaves(part: Any) -> Iterator[Any]:
    if isinstance(part, dict | list):
        for inner in part.values() if isinstance(part, dict) else part:
            yield from leaves(inner)
    else:
        yield part


def test_every_value_is_a_text_as_the_import_demands() -> None:
    assert {type(leaf) for leaf in leaves(EXPORT)} == {str}


def scripts(key: str) -> list[str]:
    """Return the JavaScript steps of the prototype whose key begins with ``key``."""
    (found,) = [each for each in PROTOTYPES if each["key"].startswith(f"{key}[")]
    steps = found["preprocessing"]
    return [step["parameters"][0] for step in steps if step["type"] == "JAVASCRIPT"]


HOST = {"summary.hardware.cpuMhz": 2000, "summary.hardware.numCpuCores": 4}
STORE = {"summary.capacity": 1000, "summary.freeSpace": 250}
CASES: list[tuple[str, Any, Any]] = [
    ("vsphere.vm.power", "poweredOn", 1),
    ("vsphere.vm.power", "suspended", 2),
    ("vsphere.vm.power", "melted", "error"),
    ("vsphere.host.status", "red", 3),
    ("vsphere.host.connection", "notResponding", 2),
    ("vsphere.host.cpu.pused", {**HOST, "summary.quickStats.overallCpuUsage": 2000}, 25),
    ("vsphere.host.cpu.pused", {**HOST, "summary.quickStats.overallCpuUsage": None}, None),
    ("vsphere.host.cpu.capacity", HOST, 8_000_000_000),
    ("vsphere.host.cpu.capacity", dict.fromkeys(HOST), None),
    ("vsphere.datastore.pused", STORE, 75),
    ("vsphere.datastore.pused", {**STORE, "summary.capacity": 0}, None),
    ("vsphere.datastore.pused", {**STORE, "summary.freeSpace": None}, None),
    (
        "vsphere.host.memory.pused",
        {"summary.hardware.memorySize": 4 << 20, "summary.quickStats.overallMemoryUsage": 1},
        25,
    ),
]


def test_its_scripts_compute_what_their_items_say() -> None:
    node = require_tool("node", "nodejs")
    given = [
        (scripts(key)[0], value if isinstance(value, str) else json.dumps(value))
        for key, value, _ in CASES
    ]
    program = (
        "const run = ([code, value]) => {"
        " try { return new Function('value', code)(value) } catch (_) { return 'error' } };"
        "console.log(JSON.stringify(JSON.parse(process.argv[1]).map(run)))"
    )
    told = subprocess.run(
        [node, "-e", program, json.dumps(given)], capture_output=True, text=True, check=True
    )
    assert json.loads(told.stdout) == [expected for *_, expected in CASES]
