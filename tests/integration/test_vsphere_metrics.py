"""``metrics.collect`` on a simulated vCenter."""

from __future__ import annotations

import re
import textwrap
import time
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from tests.support.fabric import ROOT
from tests.support.grafana import queries
from tests.support.vcsim import FEATURES, Simulator, agent_for, running

pytest.importorskip("pyVmomi")
pytest.importorskip("prometheus_client")

from vpoller_like.config import ExporterSettings
from vpoller_like.gateway.families import read_families
from workers.vsphere import VSphereAgent

ALL = ["inventory", "snapshots", "alarms", "realtime", "historical"]

#: What Prometheus's rules make of units; and what counts, which has none.
UNITS = {"bytes", "seconds", "hertz", "ratio", "bytes_per_second"}
WORDS_OF_UNITS = (
    r"bits?|kb|kib|mb|mib|gb|kilobytes|megabytes|percent|millis\w*|ms|minutes|hours|days|mhz|"
    r"megahertz|kbps"
)


@pytest.fixture(scope="module")
def vcenter() -> Iterator[Simulator]:
    with running(vms=10, standalone_hosts=1, features=FEATURES) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def agent(vcenter: Simulator) -> Iterator[VSphereAgent]:
    agent = agent_for(vcenter)
    yield agent
    agent.teardown()


Told = dict[str, dict[str, Any]]


def collected(agent: VSphereAgent, **params: Any) -> Told:
    reply = agent.metrics_collect({"collect": ALL, **params})
    assert reply["success"] == 0, reply["msg"]
    return {family["name"]: family for family in reply["result"]}


@pytest.fixture(scope="module")
def told(agent: VSphereAgent) -> Told:
    """Everything that is told while nothing is wrong."""
    return collected(agent)


def samples(family: dict[str, Any], **wanted: str) -> list[float]:
    """Return the values of the samples that have these labels."""
    told = [(dict(zip(family["labels"], held, strict=True)), v) for held, v in family["samples"]]
    return [value for labels, value in told if wanted.items() <= labels.items()]


def failures(families: Told) -> dict[str, str]:
    return {
        collector: reason
        for (collector, reason), _ in families["vsphere_collector_error"]["samples"]
    }


def test_everything_is_told_of(told: Told) -> None:
    assert failures(told) == {}
    assert samples(told["vsphere_collector_success"]) == [1] * 5
    machines = samples(told["vsphere_vm_powered_on"])
    assert samples(told["vsphere_objects"], kind="vm") == [len(machines)]
    # The last machine of the cluster, and of the host that is in none, is off.
    assert machines.count(0) == 2
    assert sum(samples(told["vsphere_cluster_vms"], state="on")) > 0
    assert samples(told["vsphere_cluster_vms"], state="off") == [1]
    assert set(samples(told["vsphere_host_connected"])) == {1}
    (capacity,) = samples(told["vsphere_datastore_capacity_bytes"])
    (free,) = samples(told["vsphere_datastore_free_bytes"])
    assert 0 < free < capacity
    assert len(samples(told["vsphere_vm_guest_disk_free_bytes"], path="/")) == machines.count(1)
    info = told["vsphere_vm_info"]
    assert len(samples(info, datacenter="DC0", cluster="DC0_C0")) > 0
    assert len(samples(info, datacenter="DC0", cluster="")) > 0


def test_machines_of_one_name_are_told_apart(told: Told) -> None:
    rows = told["vsphere_vm_info"]["samples"]
    names = [labels[0] for labels, _ in rows]
    assert len(names) > len(set(names))
    assert len({labels[1] for labels, _ in rows}) == len(rows)


def test_snapshots_are_counted_and_the_oldest_is_told(told: Told) -> None:
    counts = samples(told["vsphere_vm_snapshots"])
    assert sorted(counts, reverse=True)[:3] == [8, 1, 0]
    taken = samples(told["vsphere_vm_snapshot_oldest_timestamp_seconds"])
    assert len(taken) == 2
    assert 0 < min(taken) < time.time() - 86400


def test_alarms_are_told_by_name_and_object(told: Told) -> None:
    assert samples(
        told["vsphere_alarm_triggered"],
        alarm="Virtual machine memory usage",
        status="yellow",
        kind="vm",
        acknowledged="true",
    ) == [1]
    total = len(told["vsphere_alarm_triggered"]["samples"])
    assert sum(samples(told["vsphere_alarms"])) == total > 4


def test_realtime_figures_are_of_what_runs(told: Told) -> None:
    on = sum(samples(told["vsphere_vm_powered_on"]))
    for name in ("vsphere_vm_cpu_usage_ratio", "vsphere_vm_cpu_ready_ratio"):
        assert len(samples(told[name])) == on
        assert all(0 <= value <= 1 for value in samples(told[name]))
    hosts = len(samples(told["vsphere_host_connected"]))
    assert len(samples(told["vsphere_host_network_receive_bytes_per_second"])) == hosts


def test_historical_figures_are_of_clusters_and_datastores(told: Told) -> None:
    (usage,) = samples(told["vsphere_cluster_cpu_usage_ratio"])
    assert 0 < usage < 1
    assert len(samples(told["vsphere_datastore_used_bytes"])) == 1


def test_intervals_are_apart(agent: VSphereAgent, told: Told) -> None:
    every = set(told)
    realtime = set(collected(agent, collect=["realtime"]))
    historical = set(collected(agent, collect=["historical"]))
    usual = {family["name"] for family in agent.metrics_collect({})["result"]}
    own = {name for name in every if re.match("vsphere_(read|collector)_", name)}
    assert realtime & historical == own == realtime & usual == historical & usual
    assert realtime | historical | usual == every


def test_filters_hold_for_every_collector(agent: VSphereAgent) -> None:
    told = collected(agent, include=["vm:DC0_C0_*"], exclude=["vm:*_VM0", "host:*", "datastore:*"])
    assert samples(told["vsphere_host_info"]) == []
    assert samples(told["vsphere_datastore_used_bytes"]) == []
    assert samples(told["vsphere_alarm_triggered"], kind="host") == []
    for name in ("vsphere_vm_info", "vsphere_vm_snapshots", "vsphere_vm_cpu_usage_ratio"):
        machines = {labels[0] for labels, _ in told[name]["samples"]}
        assert machines
        assert all(re.fullmatch(r"DC0_C0_RP0_VM[1-9]\d*", each) for each in machines)


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"collect": ["everything"]}, "collect[0]"),
        ({"include": ["db*"]}, "include[0]"),
        ({"exclude": ["network:*"]}, "exclude[0]"),
        ({"exclude": ["vm:"]}, "exclude[0]"),
        ({"exlude": ["vm:*"]}, "exlude"),
        ({"include": ["vm:*"] * 101}, "include"),
    ],
)
def test_a_parameter_that_is_wrong_is_named(
    agent: VSphereAgent, params: dict[str, Any], field: str
) -> None:
    reply = agent.metrics_collect(params)
    assert reply["error"]["code"] == "invalid_params"
    assert reply["error"]["field"] == field


def test_a_collector_that_fails_leaves_the_others(vcenter: Simulator, agent: VSphereAgent) -> None:
    vcenter.deny("Datacenters", "triggeredAlarmState")
    vcenter.fault("RestrictedVersion", "QueryPerf")
    try:
        told = collected(agent)
    finally:
        vcenter.mend()
    assert failures(told) == {
        "alarms": "no_permission",
        "realtime": "vcenter_fault",
        "historical": "vcenter_fault",
    }
    assert samples(told["vsphere_collector_success"], collector="inventory") == [1]
    assert len(samples(told["vsphere_vm_info"])) > 10
    assert failures(collected(agent)) == {}


def test_a_machine_that_goes_meanwhile_costs_its_own_figures_alone(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    gone = vcenter.reference("DC0_C0_RP0_VM3").partition(":")[2]
    inner = f'<obj type="VirtualMachine">{gone}</obj>'
    vcenter.fault("ManagedObjectNotFound", "QueryPerf", inner=inner, object_id=gone)
    try:
        told = collected(agent)
    finally:
        vcenter.mend()
    assert failures(told) == {}
    assert samples(told["vsphere_vm_cpu_usage_ratio"], moref=gone) == []
    assert len(samples(told["vsphere_vm_cpu_usage_ratio"])) > 5


def calls_of_a_first_scrape(vcenter: Simulator) -> dict[str, int]:
    vcenter.calls(again=True)
    agent = agent_for(vcenter)
    assert failures(collected(agent)) == {}
    calls = vcenter.calls()
    agent.teardown()
    return calls


def test_the_calls_do_not_grow_with_the_inventory(vcenter: Simulator) -> None:
    calls = calls_of_a_first_scrape(vcenter)
    assert calls["QueryPerf"] == 2
    with running(vms=200, hosts=10, features=("alarms", "snapshots")) as large:
        assert calls_of_a_first_scrape(large) == calls


def test_a_warm_scrape_takes_four_calls(vcenter: Simulator, agent: VSphereAgent) -> None:
    collected(agent)
    vcenter.calls(again=True)
    collected(agent)
    assert vcenter.calls() == {"RetrievePropertiesEx": 2, "QueryPerf": 2}


def test_the_inventory_and_the_snapshots_take_one_call(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    collected(agent)
    vcenter.calls(again=True)
    collected(agent, collect=["inventory", "snapshots"])
    assert vcenter.calls() == {"RetrievePropertiesEx": 1}


def test_a_long_answer_comes_in_pages_and_is_whole() -> None:
    with running(vms=30, page=7) as paged:
        agent = agent_for(paged)
        told = collected(agent, collect=["inventory"])
        assert samples(told["vsphere_objects"], kind="vm") == [30]
        assert len(samples(told["vsphere_vm_powered_on"], cluster="DC0_C0", datacenter="DC0")) == 30
        assert paged.calls()["ContinueRetrievePropertiesEx"] > 4
        agent.teardown()


# Names ------------------------------------------------------------------------------------


def test_names_and_units_are_as_prometheus_wants_them(told: Told) -> None:
    for family in told.values():
        name, unit = family["name"], family["unit"]
        assert re.fullmatch(r"vsphere_[a-z]+(_[a-z]+)*", name)
        assert not re.search(rf"_({WORDS_OF_UNITS})(_|$)", name), name
        assert unit in {"", *UNITS}
        ends = {each for each in UNITS if name.endswith(f"_{each}")}
        assert (unit in ends) if ends else not unit, name
        assert family["type"] == ("info" if name.endswith("_info") else "gauge")
        assert family["help"].endswith(".")
        assert len(family["help"]) > 10
        assert all(re.fullmatch(r"[a-z]+(_[a-z]+)*", label) for label in family["labels"])
        # A label's name is not part of the metric's, nor are types.
        assert not re.search(r"_(gauge|count|metric)$", name)


def test_they_are_such_as_the_exporter_takes(told: Told) -> None:
    assert {family.name for family in read_families(list(told.values()))} == set(told)


#: What the exporter tells of each target itself; and what Prometheus adds.
OWN = {
    "vpoller_target_up": set(),
    "vpoller_target_scrape_duration_seconds": set(),
    "vpoller_target_scrape_error": {"reason"},
}
ADDED = {"instance", "job"}


def test_the_dashboard_asks_for_what_there_is(told: Told) -> None:
    known = {name: set(each["labels"]) for name, each in told.items()} | OWN
    asked = list(queries(ROOT / "etc" / "grafana" / "vsphere.json"))
    assert len(asked) > 30
    for query in asked:
        assert query.metrics, query.title
        assert set(query.metrics) <= set(known), query.title
        for name, labels in query.metrics.items():
            assert labels <= known[name] | ADDED, (query.title, name)
        assert query.labels <= ADDED.union(*(known[name] for name in query.metrics)), query.title


def test_the_reference_lists_every_metric_and_its_labels(told: Told) -> None:
    text = (ROOT / "docs" / "reference" / "metrics.rst").read_text()
    row = re.compile(r"^   \* - ``(vsphere_\w+)``\n     -(.*?)\n     - ", re.MULTILINE | re.DOTALL)
    listed = {name: re.findall(r"``(\w+)``", labels) for name, labels in row.findall(text)}
    assert listed == {name: each["labels"] for name, each in told.items()}


def test_the_how_to_configures_what_there_is(agent: VSphereAgent, told: Told) -> None:
    text = (ROOT / "docs" / "howto" / "prometheus.rst").read_text()
    scrapes, rules = (yaml.safe_load(textwrap.dedent(each)) for each in _yaml_blocks(text))
    asked = [each.get("params", {}) for each in scrapes["scrape_configs"]]
    for params in asked:
        assert agent.metrics_collect(params)["success"] == 0, params
    assert {each for params in asked for each in params.get("collect", [])} < set(ALL)
    address = ExporterSettings().listen
    for job in scrapes["scrape_configs"]:
        steps = job.get("relabel_configs", [])
        served = [step["replacement"] for step in steps if "replacement" in step]
        assert (served or job["static_configs"][0]["targets"]) == [address]
    known = {name: set(each["labels"]) for name, each in told.items()} | OWN
    for rule in rules["groups"][0]["rules"]:
        names = set(re.findall(r"\b(?:vsphere|vpoller)_\w+", rule["expr"]))
        assert names
        assert names <= set(known)


def _yaml_blocks(text: str) -> list[str]:
    block = re.compile(r"^\.\. code-block:: yaml\n   :caption: .*\n((?:\n|   .*\n)+)", re.MULTILINE)
    return block.findall(text)
