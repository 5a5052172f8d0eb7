"""Counters, intervals and samples, on a simulated vCenter."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

import pytest

from tests.support.vcsim import Simulator, agent_for, result, running

pytest.importorskip("pyVmomi")

from workers.vsphere import VSphereAgent

CPU = "cpu.usage.percent.average"
CPU_ID = 2
MEMORY = "mem.usage.percent.average"
ON, OFF = "DC0_C0_RP0_VM1", "DC0_C0_RP0_VM9"
CREATED = "vmop.numCreate.number.latest"

#: Of each kind: the name of an object, and a counter that it has in history.
HISTORY = {
    "datacenter": ("DC0", CREATED),
    "cluster": ("DC0_C0", CPU),
    "host": ("DC0_C0_H0", CPU),
    "vm": (ON, CPU),
    "datastore": ("LocalDS_0", "datastore.numberReadAveraged.number.average"),
}


@pytest.fixture(scope="module")
def vcenter() -> Iterator[Simulator]:
    with running(vms=10, features=("off", "guests", "vsan")) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def agent(vcenter: Simulator) -> Iterator[VSphereAgent]:
    agent = agent_for(vcenter)
    # From here on the session is warm: names and counters are known.
    for kind, (name, counter) in HISTORY.items():
        measure(agent, kind, name=name, **{"counter-name": counter, "perf-interval": "Past day"})
    yield agent
    agent.teardown()


def measure(agent: VSphereAgent, kind: str, **given: Any) -> dict[str, Any]:
    envelope: dict[str, Any] = getattr(agent, f"{kind}_perf_metric_get")(given)
    return envelope


def served(vcenter: Simulator) -> dict[str, int]:
    """Return the calls since the last time, but for those that wait for changes of names."""
    calls = vcenter.calls(again=True)
    calls.pop("WaitForUpdatesEx", None)
    return calls


def test_counters_are_listed_with_the_names_that_requests_use(agent: VSphereAgent) -> None:
    counters = result(agent.perf_metric_info({}))
    assert len(counters) > 500
    (cpu,) = (each for each in counters if each["key"] == CPU_ID)
    assert cpu["name"] == CPU
    assert cpu["unitInfo"]["key"] == "percent"
    assert cpu["rollupType"] == "average"


def test_intervals_are_listed(agent: VSphereAgent) -> None:
    intervals = result(agent.perf_interval_info({}))
    assert [(each["name"], each["samplingPeriod"]) for each in intervals] == [
        ("Past day", 300),
        ("Past week", 1800),
        ("Past month", 7200),
        ("Past year", 86400),
    ]


@pytest.mark.parametrize("kind", HISTORY)
def test_what_can_be_measured_of_an_object_is_listed(agent: VSphereAgent, kind: str) -> None:
    name, counter = HISTORY[kind]
    metrics = result(getattr(agent, f"{kind}_perf_metric_info")({"name": name}))
    assert {tuple(each) for each in metrics} == {("counterId", "instance")}
    assert len({each["counterId"] for each in metrics}) > 1
    assert {"counterId": counter, "instance": ""} in metrics
    asked = {"name": name, "counter-name": counter}
    one = result(getattr(agent, f"{kind}_perf_metric_info")(asked))
    assert {each["counterId"] for each in one} == {counter}


def test_a_virtual_machine_is_measured_in_realtime(agent: VSphereAgent) -> None:
    (sample,) = result(measure(agent, "vm", name=ON, **{"counter-name": CPU}))
    assert list(sample) == ["interval", "timestamp", "counterId", "instance", "value"]
    assert (sample["interval"], sample["counterId"], sample["instance"]) == (20, CPU, "")
    assert sample["value"] > 0
    assert datetime.fromisoformat(sample["timestamp"]).tzinfo is not None


@pytest.mark.parametrize("counter", [CPU, CPU_ID, str(CPU_ID), "cpu.usage.average"])
def test_a_counter_is_known_by_name_and_by_id(agent: VSphereAgent, counter: str | int) -> None:
    (sample,) = result(measure(agent, "host", name="DC0_C0_H0", **{"counter-name": counter}))
    assert sample["counterId"] == CPU


@pytest.mark.parametrize("kind", HISTORY)
def test_history_is_kept_of_every_kind_of_object(agent: VSphereAgent, kind: str) -> None:
    name, counter = HISTORY[kind]
    asked = {"counter-name": counter, "perf-interval": "Past week", "max-sample": 3}
    samples = result(measure(agent, kind, name=name, **asked))
    assert [each["interval"] for each in samples] == [1800] * 3
    times = [datetime.fromisoformat(each["timestamp"]) for each in samples]
    assert {(b - a).total_seconds() for a, b in pairwise(times)} == {1800}


@pytest.mark.parametrize("interval", ["Past day", "past day", "300", 300, 1])
def test_an_interval_is_known_by_name_by_seconds_and_by_key(
    agent: VSphereAgent, interval: str | int
) -> None:
    asked = {"counter-name": CPU, "perf-interval": interval}
    (sample,) = result(measure(agent, "cluster", name="DC0_C0", **asked))
    assert sample["interval"] == 300


@pytest.mark.parametrize("interval", ["realtime", 20, "20"])
def test_realtime_is_an_interval_of_hosts(agent: VSphereAgent, interval: str | int) -> None:
    asked = {"counter-name": CPU, "perf-interval": interval, "max-sample": "2"}
    samples = result(measure(agent, "host", name="DC0_C0_H0", **asked))
    assert [each["interval"] for each in samples] == [20, 20]


def test_without_an_interval_history_of_the_shortest_one_is_told(agent: VSphereAgent) -> None:
    (sample,) = result(measure(agent, "datacenter", name="DC0", **{"counter-name": CREATED}))
    assert sample["interval"] == 300


def test_all_parts_of_a_host_can_be_measured(agent: VSphereAgent) -> None:
    asked = {"counter-name": CPU, "instance": "*"}
    samples = result(measure(agent, "host", name="DC0_C0_H0", **asked))
    assert [each["instance"] for each in samples] == ["", "0", "1"]
    asked["instance"] = "1"
    (sample,) = result(measure(agent, "host", name="DC0_C0_H0", **asked))
    assert sample["instance"] == "1"


def test_many_objects_and_counters_are_one_query(vcenter: Simulator, agent: VSphereAgent) -> None:
    asked = {"names": ["DC0_C0_RP0_VM*"], "counters": [CPU, MEMORY], "max-sample": 2}
    served(vcenter)
    samples = result(measure(agent, "vm", **asked))
    assert served(vcenter) == {"RetrievePropertiesEx": 1, "QueryPerf": 1}
    machines = {f"DC0_C0_RP0_VM{number}" for number in range(9)}
    assert {each["name"] for each in samples} == machines
    assert len(samples) == 9 * 2 * 2
    assert {each["counterId"] for each in samples} == {CPU, MEMORY}
    assert len({each["entity"] for each in samples}) == 9


def test_a_machine_that_is_off_is_left_out_of_many(agent: VSphereAgent) -> None:
    samples = result(measure(agent, "vm", names=[ON, OFF], **{"counter-name": CPU}))
    assert [each["name"] for each in samples] == [ON]


def test_one_machine_that_is_off_has_no_samples(agent: VSphereAgent) -> None:
    reply = measure(agent, "vm", name=OFF, **{"counter-name": CPU})
    assert reply["error"]["reason"] == "no_samples"
    assert reply["msg"].startswith(f"{OFF} has no samples of {CPU}: it may be off")


@pytest.mark.parametrize("kind", HISTORY)
def test_measuring_takes_two_calls(vcenter: Simulator, agent: VSphereAgent, kind: str) -> None:
    name, counter = HISTORY[kind]
    served(vcenter)
    result(measure(agent, kind, name=name, **{"counter-name": counter, "perf-interval": 300}))
    assert served(vcenter) == {"RetrievePropertiesEx": 1, "QueryPerf": 1}
    result(getattr(agent, f"{kind}_perf_metric_info")({"name": name}))
    assert served(vcenter) == {"RetrievePropertiesEx": 1, "QueryAvailablePerfMetric": 1}
    result(agent.perf_metric_info({}))
    assert served(vcenter) == {}


def test_a_misspelt_counter_is_answered_with_the_nearest(agent: VSphereAgent) -> None:
    reply = measure(agent, "vm", name=ON, **{"counter-name": "cpu.usage.percent.averge"})
    assert reply["error"]["code"] == "invalid_params"
    assert reply["msg"].startswith("counter-name: there is no counter cpu.usage.percent.averge; ")
    assert f"did you mean {CPU}?" in reply["msg"]


def test_an_unknown_id_of_a_counter_is_refused(agent: VSphereAgent) -> None:
    reply = measure(agent, "vm", name=ON, **{"counter-id": "987654"})
    assert "there is no counter 987654" in reply["msg"]


def test_an_unknown_interval_is_answered_with_all_there_are(agent: VSphereAgent) -> None:
    reply = measure(agent, "host", name="DC0_C0_H0", **{"counter-name": CPU, "perf-interval": "x"})
    assert reply["msg"] == (
        "perf-interval: there is no interval x; there are Past day (300 s), Past week (1800 s), "
        "Past month (7200 s), Past year (86400 s), realtime (20 s)"
    )


def test_a_cluster_has_no_realtime(agent: VSphereAgent) -> None:
    asked = {"counter-name": CPU, "perf-interval": "realtime"}
    reply = measure(agent, "cluster", name="DC0_C0", **asked)
    assert reply["error"]["field"] == "perf-interval"
    assert "only hosts and virtual machines have it" in reply["msg"]


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": ON}, "counter-name"),
        ({"counter-name": CPU}, "name"),
        ({"name": ON, "counter-name": CPU, "max-sample": 0}, "max-sample"),
    ],
)
def test_what_is_missing_or_wrong_is_named(
    agent: VSphereAgent, given: dict[str, Any], field: str
) -> None:
    reply = measure(agent, "vm", **given)
    assert reply["error"]["code"] == "invalid_params"
    assert reply["error"]["field"] == field


def test_an_unknown_object_is_not_found(agent: VSphereAgent) -> None:
    for reply in (
        measure(agent, "vm", name="nowhere", **{"counter-name": CPU}),
        agent.vm_perf_metric_info({"name": "nowhere"}),
        agent.vm_cpu_usage_percent({"name": "nowhere"}),
        agent.vsan_health_get({"name": "nowhere"}),
    ):
        assert reply["error"]["reason"] == "not_found"


def test_counters_are_asked_for_anew_in_a_new_session(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    vcenter.expire()
    result(measure(agent, "vm", name=ON, **{"counter-name": CPU}))
    served(vcenter)
    result(measure(agent, "vm", name=ON, **{"counter-name": CPU}))
    assert served(vcenter) == {"RetrievePropertiesEx": 1, "QueryPerf": 1}


def test_a_refusal_to_measure_is_told(vcenter: Simulator, agent: VSphereAgent) -> None:
    vcenter.fault("NoPermission", "QueryPerf", inner="<privilegeId>System.View</privilegeId>")
    try:
        reply = measure(agent, "vm", name=ON, **{"counter-name": CPU})
    finally:
        vcenter.mend()
    assert reply["error"]["reason"] == "no_permission"
    assert "System.View" in reply["msg"]


@pytest.mark.parametrize(
    ("fault", "inner"),
    [
        ("ManagedObjectNotFound", '<obj type="VirtualMachine">{}</obj>'),
        ("NoPermission", '<object type="VirtualMachine">{}</object><privilegeId>x</privilegeId>'),
    ],
)
def test_one_of_many_that_is_gone_or_locked_is_left_out(
    vcenter: Simulator, agent: VSphereAgent, fault: str, inner: str
) -> None:
    other = "DC0_C0_RP0_VM2"
    locked = vcenter.reference(other).partition(":")[2]
    vcenter.fault(fault, "QueryPerf", inner=inner.format(locked), object_id=locked)
    try:
        samples = result(measure(agent, "vm", names=[ON, other], **{"counter-name": CPU}))
        alone = measure(agent, "vm", name=other, **{"counter-name": CPU})
    finally:
        vcenter.mend()
    assert [each["name"] for each in samples] == [ON]
    assert alone["error"]["reason"] in ("not_found", "no_permission")


def test_a_vcenters_limit_of_figures_is_told_with_the_setting(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    limit = "<details>vpxd.stats.maxQueryMetrics</details>"
    vcenter.fault("RestrictedByAdministrator", "QueryPerf", inner=limit)
    asked = {"names": ["*_H*"], "counters": [CPU, MEMORY], "perf-interval": 300}
    try:
        reply = measure(agent, "host", **asked)
    finally:
        vcenter.mend()
    assert (reply["error"]["reason"], reply["error"]["figures"]) == ("too_many_figures", 6)
    assert reply["msg"] == (
        "The vCenter does not answer a question for 6 figures at once: raise its setting "
        "config.vpxd.stats.maxQueryMetrics, or ask for fewer objects or counters"
    )


def test_cpu_usage_is_the_share_of_the_machines_processors(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    asked = ["summary.quickStats.overallCpuUsage", "config.hardware.numCPU", "runtime.host"]
    (machine,) = result(agent.vm_get({"name": ON, "properties": asked}))
    speed = "hardware.cpuInfo.hz"
    host = {"name": machine["runtime.host"], "properties": [speed]}
    megahertz = result(agent.host_get(host))[0][speed] / 1e6
    served(vcenter)
    (row,) = result(agent.vm_cpu_usage_percent({"name": ON}))
    assert served(vcenter) == {"RetrievePropertiesEx": 2}
    used, processors = machine[asked[0]], machine[asked[1]]
    percent = pytest.approx(100 * used / (processors * megahertz), abs=0.01)
    assert row == {"name": ON, "vm.cpu.usage.percent": percent}
    assert row["vm.cpu.usage.percent"] > 0


def test_the_health_of_a_vsan_node_is_told(vcenter: Simulator, agent: VSphereAgent) -> None:
    served(vcenter)
    rows = [result(agent.vsan_health_get({"name": f"DC0_C0_H{n}"}))[0] for n in range(3)]
    assert served(vcenter) == {"RetrievePropertiesEx": 3, "QueryHostStatus": 3}
    assert [row["health"] for row in rows] == ["healthy", "healthy", "unhealthy"]
    assert {tuple(row) for row in rows} == {("name", "uuid", "nodeUuid", "health")}
    assert len({row["uuid"] for row in rows}) == 1
    assert len({row["nodeUuid"] for row in rows}) == 3


def test_hosts_without_vsan_say_so() -> None:
    with running(vms=1, hosts=1, standalone_hosts=1) as vcenter:
        agent = agent_for(vcenter)
        (row,) = result(agent.vsan_health_get({"name": "DC0_C0_H0"}))
        reply = agent.vsan_health_get({"name": "DC0_H0"})
        agent.teardown()
    assert row == {"name": "DC0_C0_H0", "uuid": None, "nodeUuid": None, "health": "unknown"}
    assert reply["error"]["reason"] == "no_vsan"
    assert "Host DC0_H0 has no vSAN" in reply["msg"]
