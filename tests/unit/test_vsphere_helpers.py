"""What Zabbix, C programs and spreadsheets get of each method's result."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest

from workers.vsphere.helpers.cclient import cclient
from workers.vsphere.helpers.csvhelper import csvhelper
from workers.vsphere.helpers.zabbix import SHAPES, czabbix, zabbix

ALARM = {
    "key": "alarm-1.vm-2",
    "info": "CPU usage",
    "time": "2026-11-22T03:04:05Z",
    "entity": "vm01",
    "acknowledged": False,
    "overallStatus": "red",
    "acknowledgedByUser": None,
}
SAMPLE = {"interval": 20, "timestamp": "2026-11-22T03:04:05Z", "counterId": "a.b.c.d"}
SAMPLES = [
    {**SAMPLE, "instance": "", "value": 1},
    {**SAMPLE, "instance": "", "value": 42},
    {**SAMPLE, "instance": "0", "value": 7},
]
PROCESSES = [
    {"name": "init", "pid": 1, "cmdLine": "/sbin/init"},
    {"name": "sshd", "pid": 2, "cmdLine": "/usr/sbin/sshd -D"},
    {"name": "sshd", "pid": 3, "cmdLine": "sshd: me"},
]
DISK = {"diskPath": "/", "capacity": 100, "freeSpace": 40}


def rows(prefix: str, *found: dict[str, Any]) -> dict[str, Any]:
    """A discovery with these rows, whose macros begin with ``prefix``."""
    return {"data": [{f"{{#VSPHERE.{prefix}.{k}}}": v for k, v in row.items()} for row in found]}


def alarms(prefix: str) -> dict[str, Any]:
    told = {key.upper(): value for key, value in ALARM.items()}
    return rows(prefix, {**told, "ACKNOWLEDGED": "false", "ACKNOWLEDGEDBYUSER": ""})


def objects(kind: str, *more: str) -> list[tuple[str, dict[str, Any], Any, Any]]:
    """The methods that every kind of object has."""
    named = [{"name": "a"}, {"name": "b"}]
    macros = kind.upper()
    found = [
        (f"{kind}.discover", {}, named, rows(macros, {"NAME": "a"}, {"NAME": "b"})),
        (f"{kind}.get", {"properties": ["x.y"]}, [{"name": "a", "x.y": 7}], "7"),
    ]
    if "alarm" in more:
        found.append((f"{kind}.alarm.get", {}, [ALARM], alarms(f"{macros}.ALARM")))
    if "perf" in more:
        info = {"counterId": "a.b.c.d", "instance": ""}
        told = rows(f"{macros}.PERF.METRIC", {"COUNTERID": "a.b.c.d", "INSTANCE": ""})
        found.append((f"{kind}.perf.metric.info", {}, [info], told))
        found.append((f"{kind}.perf.metric.get", {}, SAMPLES, "42"))
    return found


CASES: list[tuple[str, dict[str, Any], Any, Any]] = [
    ("about", {"properties": ["version"]}, [{"fullName": "vCenter", "version": "8.0"}], "8.0"),
    ("event.latest", {}, [{"event": "User logged in"}], "User logged in"),
    (
        "session.get",
        {},
        [{"key": "52", "userName": "root"}],
        rows("SESSION", {"KEY": "52", "USERNAME": "root"}),
    ),
    (
        "perf.metric.info",
        {},
        [{"key": 2, "name": "cpu.usage.percent.average"}],
        rows("PERF.METRIC", {"KEY": 2, "NAME": "cpu.usage.percent.average"}),
    ),
    (
        "perf.interval.info",
        {},
        [{"key": 1, "samplingPeriod": 300, "enabled": True}],
        rows("PERF.INTERVAL", {"KEY": 1, "SAMPLINGPERIOD": 300, "ENABLED": "true"}),
    ),
    *objects("net"),
    ("net.host.get", {}, {"name": "lan", "host": ["h1"]}, rows("NET.HOST", {"NAME": "h1"})),
    ("net.vm.get", {}, {"name": "lan", "vm": [{"name": "v"}]}, rows("NET.VM", {"NAME": "v"})),
    *objects("datacenter", "alarm", "perf"),
    *objects("cluster", "alarm", "perf"),
    *objects("resource.pool"),
    (
        "resource.pool.vm.get",
        {},
        [{"name": "v", "resourcePool.name": "p"}],
        rows("RESOURCE.POOL.VM", {"NAME": "v", "RESOURCEPOOL.NAME": "p"}),
    ),
    *objects("host", "alarm", "perf"),
    ("host.cluster.get", {}, [{"name": "h", "cluster": "c"}], "c"),
    ("host.vm.get", {}, [{"name": "v"}], rows("HOST.VM", {"NAME": "v"})),
    (
        "host.net.get",
        {},
        {"name": "h", "network": ["a", "b"]},
        rows("HOST.NET", {"NAME": "a"}, {"NAME": "b"}),
    ),
    (
        "host.datastore.get",
        {},
        [{"name": "d", "info.url": "ds:///x/"}],
        rows("HOST.DATASTORE", {"NAME": "d", "INFO.URL": "ds:///x/"}),
    ),
    *objects("vm", "alarm", "perf"),
    (
        "vm.disk.discover",
        {},
        [{"name": "v", "disk": [DISK]}],
        rows("VM", {"DISKPATH": "/", "CAPACITY": 100, "FREESPACE": 40}),
    ),
    (
        "vm.disk.get",
        {"key": "/", "properties": ["freeSpace"]},
        [{"name": "v", "disk": DISK}],
        "40",
    ),
    (
        "vm.guest.net.get",
        {},
        {"name": "v", "net": [{"macAddress": "00:50", "ipAddress": ["10.0.0.1", "::1"]}]},
        rows("VM", {"MACADDRESS": "00:50", "IPADDRESS": '["10.0.0.1","::1"]'}),
    ),
    ("vm.net.get", {}, {"name": "v", "network": ["lan"]}, rows("VM.NET", {"NAME": "lan"})),
    ("vm.host.get", {}, [{"name": "v", "host": "h"}], "h"),
    (
        "vm.datastore.get",
        {},
        [{"name": "d", "info.url": "u"}],
        rows("VM.DATASTORE", {"NAME": "d", "INFO.URL": "u"}),
    ),
    (
        "vm.snapshot.get",
        {},
        [{"id": 3, "name": "before", "quiesced": False}],
        rows("VM.SNAPSHOT", {"ID": 3, "NAME": "before", "QUIESCED": "false"}),
    ),
    ("vm.process.get", {"key": "sshd"}, PROCESSES, "2"),
    ("vm.cpu.usage.percent", {}, [{"name": "v", "vm.cpu.usage.percent": 12.5}], "12.5"),
    *objects("datastore", "alarm", "perf"),
    ("datastore.host.get", {}, [{"name": "h"}], rows("DATASTORE.HOST", {"NAME": "h"})),
    ("datastore.vm.get", {}, [{"name": "v"}], rows("DATASTORE.VM", {"NAME": "v"})),
    (
        "vsan.health.get",
        {},
        [{"name": "c", "uuid": "1", "nodeUuid": "2", "health": "healthy"}],
        "healthy",
    ),
]


def done(result: Any) -> dict[str, Any]:
    return {"success": 0, "msg": "Done", "result": result}


FAILED = {"success": 1, "msg": "Cannot find object vm01", "error": {"code": "task_failed"}}


def test_every_method_of_vpoller_has_its_shape() -> None:
    assert len(SHAPES) == 53
    assert [case[0] for case in CASES] == list(dict.fromkeys(case[0] for case in CASES))
    assert {case[0] for case in CASES} == set(SHAPES)


@pytest.mark.parametrize(("method", "given", "result", "wanted"), CASES, ids=[c[0] for c in CASES])
def test_zabbix_gets_a_value_or_a_discovery(
    method: str, given: dict[str, Any], result: Any, wanted: Any
) -> None:
    text = zabbix(method, given, done(result))
    assert (text if isinstance(wanted, str) else json.loads(text)) == wanted
    assert czabbix(method, given, done(result)) == text + "\0"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("poweredOn", "poweredOn"),
        ("Zoë's", "Zoë's"),
        (42, "42"),
        (1.5, "1.5"),
        (True, "true"),
        (None, ""),
        (["Datastore:datastore-1"], '["Datastore:datastore-1"]'),
        ({"memoryMB": 4096}, '{"memoryMB":4096}'),
    ],
)
def test_a_value_is_written_as_a_person_would(value: Any, text: str) -> None:
    assert zabbix("vm.get", {"properties": ["p"]}, done([{"name": "v", "p": value}])) == text


@pytest.mark.parametrize(
    ("method", "given", "result", "text"),
    [
        ("vm.get", {}, [{"name": "v"}], "v"),
        ("vm.get", {"properties": ["a", "b"]}, [{"name": "v", "a": 1, "b": 2}], "1"),
        ("vm.get", {"properties": ["name"]}, [{"name": "v"}], "v"),
        ("about", {}, [{"fullName": "vCenter 8", "version": "8"}], "vCenter 8"),
        ("vm.host.get", {"properties": ["name"]}, [{"name": "v", "host": "h"}], "v"),
        ("host.perf.metric.get", {"properties": ["timestamp"]}, SAMPLES, SAMPLE["timestamp"]),
        ("host.perf.metric.get", {}, SAMPLES[2:], "7"),
        ("host.perf.metric.get", {}, [], ""),
        ("vm.process.get", {}, PROCESSES, "3"),
        ("vm.process.get", {"key": "nothing"}, PROCESSES, "0"),
        ("vm.process.get", {}, [], "0"),
        ("system.status", {}, {"load": 1}, '{"load":1}'),
        ("event.list", {}, "text", "text"),
    ],
)
def test_what_was_not_asked_for_is_still_a_value(
    method: str, given: dict[str, Any], result: Any, text: str
) -> None:
    assert zabbix(method, given, done(result)) == text


def test_many_objects_at_once_are_for_the_preprocessing_of_dependent_items() -> None:
    many = [{"name": "a", "x": 1}, {"name": "b", "x": 2}]
    asked = {"names": ["*"], "properties": ["x"]}
    assert json.loads(zabbix("vm.get", asked, done(many))) == many
    assert json.loads(zabbix("vm.perf.metric.get", {"names": ["a"]}, done(SAMPLES))) == SAMPLES
    counters = {"counters": ["cpu.usage", "mem.usage"]}
    assert json.loads(zabbix("vm.perf.metric.get", counters, done(SAMPLES))) == SAMPLES


def test_a_discovery_of_many_objects_parts_tells_whose_they_are() -> None:
    def found(method: str, result: Any) -> Any:
        return json.loads(zabbix(method, {"names": ["*"]}, done(result)))["data"]

    hosts = [{"name": "h1", "vm": [{"name": "a"}, {"name": "b"}]}, {"name": "h2", "vm": []}]
    assert found("host.vm.get", hosts) == [
        {"{#VSPHERE.HOST.NAME}": "h1", "{#VSPHERE.HOST.VM.NAME}": "a"},
        {"{#VSPHERE.HOST.NAME}": "h1", "{#VSPHERE.HOST.VM.NAME}": "b"},
    ]
    assert found("vm.disk.discover", [{"name": "v", "disk": [{"diskPath": "/"}]}]) == [
        {"{#VSPHERE.VM.NAME}": "v", "{#VSPHERE.VM.DISKPATH}": "/"}
    ]
    flat = [{"name": "v", "key": "alarm-1"}]
    assert found("vm.alarm.get", flat) == [
        {"{#VSPHERE.VM.ALARM.NAME}": "v", "{#VSPHERE.VM.ALARM.KEY}": "alarm-1"}
    ]


def test_the_disks_of_a_guest_are_discovered_without_a_key() -> None:
    found = zabbix("vm.disk.get", {}, done([{"name": "v", "disk": [DISK, DISK]}]))
    assert found == zabbix("vm.disk.discover", {}, done([{"name": "v", "disk": [DISK, DISK]}]))


def test_every_property_has_a_macro_that_zabbix_allows() -> None:
    row = {"name": "v", "runtime.powerState": "poweredOn", 'config.option["a-b"]': None}
    (found,) = json.loads(zabbix("vm.discover", {}, done([row])))["data"]
    assert found == {
        "{#VSPHERE.VM.NAME}": "v",
        "{#VSPHERE.VM.RUNTIME.POWERSTATE}": "poweredOn",
        "{#VSPHERE.VM.CONFIG.OPTION__A_B__}": "",
    }


@pytest.mark.parametrize("method", sorted(SHAPES))
def test_nothing_found_is_no_error(method: str) -> None:
    text = zabbix(method, {}, done([]))
    assert text in ("", "0") or json.loads(text) == {"data": []}


def test_an_error_is_told_in_its_own_words() -> None:
    assert zabbix("vm.get", {}, FAILED) == "Cannot find object vm01"
    assert czabbix("vm.get", {}, FAILED) == "Cannot find object vm01\0"
    assert csvhelper("vm.get", {}, FAILED) == "Cannot find object vm01"


def test_c_programs_get_the_whole_reply_and_a_nul() -> None:
    for envelope in (done([{"name": "é"}]), FAILED):
        text = cclient("vm.get", {}, envelope)
        assert text[-1] == "\0"
        assert json.loads(text[:-1]) == envelope


def table(result: Any, method: str = "vm.discover") -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(csvhelper(method, {}, done(result)))))


def test_a_spreadsheet_has_a_line_for_each_object() -> None:
    result = [{"name": 'a,"b"', "x": 1}, {"name": "c\nd", "y": None, "z": {"q": [1]}}]
    assert table(result) == [
        {"name": 'a,"b"', "x": "1", "y": "", "z": ""},
        {"name": "c\nd", "x": "", "y": "", "z": '{"q":[1]}'},
    ]


def test_a_list_within_an_object_makes_a_line_of_each_of_its_parts() -> None:
    disks = [{"diskPath": "/", "free": 1}, {"diskPath": "/var", "free": 2}]
    assert table([{"name": "v", "disk": disks}], "vm.disk.discover") == [
        {"name": "v", "diskPath": "/", "free": "1"},
        {"name": "v", "diskPath": "/var", "free": "2"},
    ]
    assert table({"name": "lan", "vm": [{"name": "v"}]}) == [{"name": "lan", "vm.name": "v"}]
    assert table([{"name": "v", "disk": []}]) == [{"name": "v", "disk": "[]"}]
    assert csvhelper("vm.discover", {}, done([])) == ""
