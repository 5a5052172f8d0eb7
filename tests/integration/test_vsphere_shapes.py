"""What each of vPoller's 53 methods answers, and how many calls it takes.

The table is the record: a method, its parameters and the shape of its result.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.vcsim import GUEST_PASSWORD, GUEST_USER, Simulator, agent_for, running

pytest.importorskip("pyVmomi")

from vpoller_like.agent import AgentHost
from workers.vsphere import VSphereAgent

#: Values: a type, several, or one of the shapes below.
Shape = Any

TEXT = str
NUMBER = (int, float)
MAYBE_TEXT = (str, type(None))


class One(list[Shape]):
    """A list of exactly one."""


class AtLeast(dict[str, Shape]):
    """An object that has these properties and may have more."""


NAMED = {"name": TEXT}
STORE = {"name": TEXT, "info.url": TEXT}
DISK = AtLeast(diskPath=TEXT, capacity=int, freeSpace=int)
COUNTER = AtLeast(
    key=int,
    nameInfo=dict,
    groupInfo=dict,
    unitInfo=dict,
    rollupType=TEXT,
    statsType=TEXT,
    level=int,
    perDeviceLevel=int,
)
METRIC = {"counterId": TEXT, "instance": TEXT}
SAMPLE = {"interval": int, "timestamp": TEXT, "counterId": TEXT, "instance": TEXT, "value": NUMBER}
ALARM = {
    "key": TEXT,
    "info": TEXT,
    "time": TEXT,
    "entity": TEXT,
    "acknowledged": bool,
    "overallStatus": TEXT,
    "acknowledgedByUser": MAYBE_TEXT,
}
SNAPSHOT = {
    "createTime": TEXT,
    "description": TEXT,
    "id": int,
    "name": TEXT,
    "quiesced": bool,
    "state": TEXT,
}
SESSION = dict.fromkeys(
    (
        "key",
        "userName",
        "fullName",
        "loginTime",
        "lastActiveTime",
        "ipAddress",
        "userAgent",
        "callCount",
    ),
    TEXT,
)
ADAPTER = AtLeast(network=TEXT, ipAddress=list, macAddress=TEXT, connected=bool)

DC, CLUSTER, POOL, NETWORK = "DC0", "DC0_C0", "Resources", "DC0_DVPG0"
HOST, VM = "DC0_C0_H0", "DC0_C0_RP0_VM0"
#: Stands for the URL of the datastore, which is another one with each simulator.
STORE_URL = "the datastore's info.url"

GUEST = {"username": GUEST_USER, "password": GUEST_PASSWORD}
REALTIME = {"counter-name": "cpu.usage.percent.average"}
PAST_DAY = {"counter-name": "cpu.usage.percent.average", "perf-interval": "Past day"}
POWERED_ON = {"counter-name": "vmop.numPoweron.number.latest", "perf-interval": "Past day"}
PAST_DAY_OF_STORE = {"counter-name": "disk.used.kiloBytes.latest", "perf-interval": "Past day"}

METHODS: list[tuple[str, dict[str, Any], Shape]] = [
    ("about", {}, One([AtLeast(fullName=TEXT, version=TEXT, build=TEXT)])),
    ("event.latest", {}, One([{"event": TEXT}])),
    ("session.get", {}, [SESSION]),
    ("perf.metric.info", {}, [COUNTER]),
    (
        "perf.interval.info",
        {},
        [AtLeast(enabled=bool, key=int, length=int, level=int, name=TEXT, samplingPeriod=int)],
    ),
    ("net.discover", {"properties": ["summary"]}, [{"name": TEXT, "summary": dict}]),
    ("net.get", {"name": NETWORK, "properties": ["vm"]}, One([{"name": TEXT, "vm": list}])),
    ("net.host.get", {"name": NETWORK}, {"name": TEXT, "host": [NAMED]}),
    ("net.vm.get", {"name": NETWORK}, {"name": TEXT, "vm": list}),
    ("datacenter.discover", {}, [NAMED]),
    ("datacenter.get", {"name": DC, "properties": ["parent"]}, One([{**NAMED, "parent": TEXT}])),
    ("datacenter.alarm.get", {"name": DC}, [ALARM]),
    ("datacenter.perf.metric.info", {"name": DC}, [METRIC]),
    ("datacenter.perf.metric.get", {"name": DC, **POWERED_ON}, [SAMPLE]),
    ("cluster.discover", {"properties": ["host"]}, [{"name": TEXT, "host": [TEXT]}]),
    ("cluster.get", {"name": CLUSTER}, One([NAMED])),
    ("cluster.alarm.get", {"name": CLUSTER}, [ALARM]),
    ("cluster.perf.metric.info", {"name": CLUSTER}, [METRIC]),
    ("cluster.perf.metric.get", {"name": CLUSTER, **PAST_DAY}, [SAMPLE]),
    ("resource.pool.discover", {}, [NAMED]),
    (
        "resource.pool.get",
        {"name": POOL, "properties": ["config"]},
        One([{**NAMED, "config": dict}]),
    ),
    (
        "resource.pool.vm.get",
        {"name": POOL, "properties": ["runtime.powerState"]},
        [{"name": TEXT, "runtime.powerState": TEXT, "resourcePool.name": TEXT}],
    ),
    ("host.discover", {}, [NAMED]),
    ("host.get", {"name": HOST, "properties": ["runtime"]}, One([{**NAMED, "runtime": dict}])),
    ("host.alarm.get", {"name": HOST}, [ALARM]),
    ("host.perf.metric.info", {"name": HOST}, [METRIC]),
    ("host.perf.metric.get", {"name": HOST, **REALTIME}, [SAMPLE]),
    ("host.cluster.get", {"name": HOST}, One([{"name": TEXT, "cluster": TEXT}])),
    ("host.vm.get", {"name": HOST}, [NAMED]),
    ("host.net.get", {"name": HOST}, {"name": TEXT, "network": [NAMED]}),
    ("host.datastore.get", {"name": HOST}, [STORE]),
    ("vm.discover", {"properties": ["datastore"]}, [{"name": TEXT, "datastore": [TEXT]}]),
    (
        "vm.get",
        {"name": VM, "properties": ["config.hardware", "runtime", "datastore"]},
        One([{"name": TEXT, "config.hardware": dict, "runtime": dict, "datastore": [TEXT]}]),
    ),
    ("vm.alarm.get", {"name": VM}, [ALARM]),
    ("vm.perf.metric.info", {"name": VM, **REALTIME}, [METRIC]),
    ("vm.perf.metric.get", {"name": VM, **REALTIME, "max-sample": 3}, [SAMPLE]),
    ("vm.disk.discover", {"name": VM}, One([{"name": TEXT, "disk": [DISK]}])),
    ("vm.disk.get", {"name": VM, "key": "/boot"}, One([{"name": TEXT, "disk": DISK}])),
    ("vm.guest.net.get", {"name": VM}, {"name": TEXT, "net": [ADAPTER]}),
    ("vm.net.get", {"name": VM}, {"name": TEXT, "network": [NAMED]}),
    ("vm.host.get", {"name": VM}, One([{"name": TEXT, "host": TEXT}])),
    ("vm.datastore.get", {"name": VM}, [STORE]),
    ("vm.snapshot.get", {"name": VM}, [SNAPSHOT]),
    (
        "vm.process.get",
        {"name": VM, **GUEST, "properties": ["pid", "startTime"]},
        [{"name": TEXT, "cmdLine": TEXT, "pid": int, "startTime": TEXT}],
    ),
    ("vm.cpu.usage.percent", {"name": VM}, One([{"name": TEXT, "vm.cpu.usage.percent": NUMBER}])),
    ("datastore.discover", {}, [STORE]),
    (
        "datastore.get",
        {"name": STORE_URL, "properties": ["summary.url"]},
        One([{**STORE, "summary.url": TEXT}]),
    ),
    ("datastore.alarm.get", {"name": STORE_URL}, [ALARM]),
    ("datastore.host.get", {"name": STORE_URL}, [NAMED]),
    ("datastore.vm.get", {"name": STORE_URL}, [NAMED]),
    ("datastore.perf.metric.info", {"name": STORE_URL}, [METRIC]),
    ("datastore.perf.metric.get", {"name": STORE_URL, **PAST_DAY_OF_STORE}, [SAMPLE]),
    (
        "vsan.health.get",
        {"name": HOST},
        One([{"name": TEXT, "uuid": TEXT, "nodeUuid": TEXT, "health": TEXT}]),
    ),
]

#: Methods that vPoller does not have.
OURS = {"event.list", "metrics.collect"}


FEATURES = ("guests", "snapshots", "vsan", "alarms")
MOST_CALLS = 3


class Subject:
    """A simulated vCenter, its agent, and requests as they come over the wire."""

    def __init__(self, simulator: Simulator) -> None:
        self.simulator = simulator
        self.agent: VSphereAgent = agent_for(simulator)
        self._host = AgentHost([self.agent])
        self._url = self.ask("datastore.discover", {})["result"][0]["info.url"]

    def ask(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        if params.get("name") == STORE_URL:
            params = {**params, "name": self._url}
        request = {"method": method, "hostname": self.agent.hostnames[0], **params}
        return self._host.call(request)

    def calls(self, method: str, params: dict[str, Any]) -> Counter[str]:
        """Return the calls that a method takes when it has been asked before."""
        self.ask(method, params)
        self.simulator.calls(again=True)
        reply = self.ask(method, params)
        assert reply["success"] == 0, reply["msg"]
        counted = Counter(self.simulator.calls())
        # The thread that follows the names makes this one; no warm method does.
        del counted["WaitForUpdatesEx"]
        return counted


@pytest.fixture(scope="module")
def small() -> Iterator[Subject]:
    with running(vms=10, features=FEATURES) as simulator:
        subject = Subject(simulator)
        yield subject
        subject.agent.teardown()


@pytest.fixture(scope="module")
def large() -> Iterator[Subject]:
    with running(vms=1000, features=FEATURES) as simulator:
        subject = Subject(simulator)
        yield subject
        subject.agent.teardown()


def check(value: Any, shape: Shape, where: str = "result") -> None:
    """Fail unless ``value`` is of ``shape``."""
    if isinstance(shape, AtLeast):
        assert isinstance(value, dict), where
        assert set(value) >= set(shape), where
    elif isinstance(shape, dict):
        assert isinstance(value, dict), where
        assert list(value) == list(shape), where
    elif isinstance(shape, list):
        check_list(value, shape, where)
        return
    else:
        assert isinstance(value, shape), f"{where} is {value!r}"
        return
    for key, part in shape.items():
        check(value[key], part, f"{where}.{key}")


def check_list(value: Any, shape: list[Shape], where: str) -> None:
    assert isinstance(value, list), where
    assert value, f"{where} is empty and shows nothing"
    assert not isinstance(shape, One) or len(value) == 1, where
    for number, item in enumerate(value):
        check(item, shape[0], f"{where}[{number}]")


@pytest.mark.parametrize(
    ("method", "params", "shape"), METHODS, ids=[method for method, _, _ in METHODS]
)
def test_a_method_answers_as_in_vpoller(
    small: Subject, method: str, params: dict[str, Any], shape: Shape
) -> None:
    reply = small.ask(method, params)
    assert reply["success"] == 0, reply["msg"]
    check(reply["result"], shape)


def test_the_methods_are_vpollers_and_ours(small: Subject) -> None:
    offered = {method.name for method in AgentHost([small.agent]).offers()[0].methods}
    recorded = [method for method, _, _ in METHODS]
    assert len(recorded) == len(set(recorded)) == 53
    assert offered == set(recorded) | OURS


def test_every_method_and_parameter_is_described(small: Subject) -> None:
    for method in AgentHost([small.agent]).offers()[0].methods:
        assert method.doc, method.name
        assert method.retry_safe, method.name
        for param in method.params:
            assert param.doc, f"{method.name} {param.name}"


def test_every_parameter_in_the_table_is_one_of_its_method(small: Subject) -> None:
    declared = {method.name: method for method in AgentHost([small.agent]).offers()[0].methods}
    for method, params, _ in METHODS:
        known = {param.name for param in declared[method].params}
        assert set(params) <= known, method
        required = {param.name for param in declared[method].params if param.required}
        assert required <= set(params), method


def test_only_the_guests_password_is_secret(small: Subject) -> None:
    secret = [
        (method.name, param.name)
        for method in AgentHost([small.agent]).offers()[0].methods
        for param in method.params
        if param.secret
    ]
    assert secret == [("vm.process.get", "password")]


@pytest.mark.parametrize(
    ("method", "params"),
    [(method, params) for method, params, _ in METHODS],
    ids=[method for method, _, _ in METHODS],
)
def test_a_warm_method_takes_few_calls_however_many_machines_there_are(
    small: Subject, large: Subject, method: str, params: dict[str, Any]
) -> None:
    calls = small.calls(method, params)
    assert calls.total() <= MOST_CALLS, calls
    assert large.calls(method, params) == calls
