"""The vSphere agent's methods, on a simulated vCenter with 1,000 virtual machines."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import current_thread
from typing import Any

import pytest

from tests.support.vcsim import Simulator, agent_for, result, running

pytest.importorskip("pyVmomi")

from pyVmomi import vim
from pyVmomi.SoapAdapter import SoapStubAdapter
from pyVmomi.VmomiSupport import IsChildVersion, versionMap

from vpoller_like.agent import AgentHost
from workers.vsphere import VSphereAgent
from workers.vsphere.inventory.watch import THREAD_NAME

VMS = 1000
API = versionMap["vim25/6.5"]


@pytest.fixture(scope="module")
def vcenter() -> Iterator[Simulator]:
    with running(vms=VMS, datacenters=2, hosts=4) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def agent(vcenter: Simulator) -> Iterator[VSphereAgent]:
    agent = agent_for(vcenter)
    yield agent
    agent.teardown()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the names of all SOAP calls."""
    made: list[str] = []
    invoke = SoapStubAdapter.InvokeMethod

    def counted(stub: Any, managed: Any, info: Any, *more: Any) -> Any:
        # What waits for news of names is no call of a task.
        if current_thread().name != THREAD_NAME:
            made.append(info.name)
        return invoke(stub, managed, info, *more)

    monkeypatch.setattr(SoapStubAdapter, "InvokeMethod", counted)
    return made


def names(envelope: dict[str, Any]) -> list[str]:
    return [row["name"] for row in result(envelope)]


def test_the_example_for_local_use_works(vcenter: Simulator) -> None:
    agent = VSphereAgent(
        user=vcenter.user,
        pwd=vcenter.password,
        host=vcenter.host,
        port=vcenter.port,
        thumbprint=vcenter.sha1,
    )
    agent.connect()
    reply = agent.vm_discover(msg={})
    agent.disconnect()
    assert reply["success"] == 0
    assert reply["msg"] == "Successfully discovered objects"
    assert len(reply["result"]) == VMS


def test_all_virtual_machines_are_discovered(agent: VSphereAgent) -> None:
    rows = result(agent.vm_discover({}))
    assert len({row["name"] for row in rows}) == VMS
    assert {tuple(row) for row in rows} == {("name",)}


def test_properties_are_collected_of_all_of_them_at_once(agent: VSphereAgent) -> None:
    asked = ["runtime.powerState", "config.hardware.memoryMB", "name", "runtime.powerState"]
    rows = result(agent.vm_discover({"properties": asked}))
    assert len(rows) == VMS
    for row in rows:
        assert list(row) == ["name", "runtime.powerState", "config.hardware.memoryMB"]
        assert row["runtime.powerState"] == "poweredOn"
        assert row["config.hardware.memoryMB"] > 0


def test_one_virtual_machine_is_found_by_its_name(agent: VSphereAgent) -> None:
    reply = agent.vm_get({"name": "DC1_C0_RP0_VM321", "properties": ["runtime.powerState"]})
    assert reply == {
        "success": 0,
        "msg": "Successfully retrieved object properties",
        "result": [{"name": "DC1_C0_RP0_VM321", "runtime.powerState": "poweredOn"}],
    }


def test_without_properties_the_name_is_the_answer(agent: VSphereAgent) -> None:
    assert result(agent.vm_get({"name": "DC0_C0_RP0_VM7"})) == [{"name": "DC0_C0_RP0_VM7"}]


def test_an_object_is_found_by_its_reference(agent: VSphereAgent) -> None:
    machine = {"name": "DC0_C0_RP0_VM7", "properties": ["summary.vm", "runtime.host"]}
    (row,) = result(agent.vm_get(machine))
    assert row["summary.vm"].startswith("VirtualMachine:vm-")
    assert names(agent.vm_get({"name": row["summary.vm"]})) == ["DC0_C0_RP0_VM7"]
    assert names(agent.host_get({"name": row["runtime.host"]}))[0].startswith("DC0_C0_H")


def test_datacenters_clusters_and_hosts_are_discovered(agent: VSphereAgent) -> None:
    assert names(agent.datacenter_discover({})) == ["DC0", "DC1"]
    assert sorted(names(agent.cluster_discover({}))) == ["DC0_C0", "DC1_C0"]
    hosts = {f"DC{dc}_C0_H{number}" for dc in (0, 1) for number in range(4)}
    assert set(names(agent.host_discover({}))) == hosts


def test_a_host_is_found_by_its_name(agent: VSphereAgent) -> None:
    asked = {"name": "DC1_C0_H2", "properties": ["hardware", "runtime.connectionState"]}
    (row,) = result(agent.host_get(asked))
    assert row["runtime.connectionState"] == "connected"
    assert row["hardware"]["cpuInfo"]["numCpuCores"] > 0


def test_a_datastore_is_found_by_its_url(agent: VSphereAgent) -> None:
    stores = result(agent.datastore_discover({}))
    assert [list(store) for store in stores] == [["name", "info.url"]] * 2
    for store in stores:
        asked = {"name": store["info.url"], "properties": ["summary.url"]}
        (row,) = result(agent.datastore_get(asked))
        assert row == {**store, "summary.url": store["info.url"]}


def test_a_name_of_two_objects_is_answered_with_their_references(agent: VSphereAgent) -> None:
    reply = agent.datastore_get({"name": "LocalDS_0"})
    assert reply["error"]["reason"] == "ambiguous"
    candidates = reply["error"]["candidates"]
    assert len(candidates) == 2
    assert "2 objects of type Datastore are named LocalDS_0" in reply["msg"]
    for reference in candidates:
        assert reference in reply["msg"]
        assert names(agent.datastore_get({"name": reference})) == ["LocalDS_0"]


def test_about_tells_everything_or_what_is_asked(agent: VSphereAgent) -> None:
    (whole,) = result(agent.about({}))
    assert whole["apiType"] == "VirtualCenter"
    (some,) = result(agent.about({"properties": ["version"]}))
    assert some == {"fullName": whole["fullName"], "version": whole["version"]}


def test_sessions_are_told_as_strings(vcenter: Simulator, agent: VSphereAgent) -> None:
    sessions = result(agent.session_get({}))
    assert len(sessions) == vcenter.sessions()
    assert {session["userName"] for session in sessions} == {vcenter.user}
    assert all(len(session) == 8 for session in sessions)
    assert all(isinstance(value, str) for value in sessions[0].values())


def top_level(kind: Any) -> list[str]:
    """Return the properties that a type has in the simulator's version of the API."""
    return [prop.name for prop in kind._GetPropertyList() if IsChildVersion(API, prop.version)]


def test_every_property_of_a_virtual_machine_can_be_asked(agent: VSphereAgent) -> None:
    asked = top_level(vim.VirtualMachine)
    (row,) = result(agent.vm_get({"name": "DC0_C0_RP0_VM0", "properties": asked}))
    assert set(row) == set(asked)
    assert row["runtime"]["powerState"] == "poweredOn"
    assert row["datastore"][0].startswith("Datastore:")
    devices = row["config"]["hardware"]["device"]
    assert "VirtualDisk" in {device["_type"] for device in devices}
    assert datetime.fromisoformat(row["config"]["modified"]).tzinfo is not None
    assert row["guest"]["toolsRunningStatus"] == "guestToolsNotRunning"
    assert "dynamicType" not in json.dumps(row)


@pytest.mark.parametrize(
    ("method", "kind"),
    [
        ("host_discover", vim.HostSystem),
        ("datastore_discover", vim.Datastore),
        ("cluster_discover", vim.ClusterComputeResource),
        ("datacenter_discover", vim.Datacenter),
    ],
)
def test_every_property_of_the_others_can_be_asked(
    agent: VSphereAgent, method: str, kind: Any
) -> None:
    for row in result(getattr(agent, method)({"properties": top_level(kind)})):
        assert set(row) >= set(top_level(kind))


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("about", {}),
        ("session_get", {}),
        ("datacenter_discover", {}),
        ("cluster_discover", {}),
        ("host_discover", {"properties": ["summary"]}),
        ("host_get", {"name": "DC0_C0_H1", "properties": ["summary", "config", "hardware"]}),
        ("vm_discover", {}),
        ("vm_discover", {"properties": ["runtime.powerState", "guest.ipAddress"]}),
        ("vm_get", {"name": "DC0_C0_RP0_VM9", "properties": ["config", "runtime", "guest"]}),
        ("datastore_discover", {}),
    ],
)
def test_every_method_takes_one_call_when_warm(
    agent: VSphereAgent, calls: list[str], method: str, params: dict[str, Any]
) -> None:
    result(getattr(agent, method)(params))
    calls.clear()
    result(getattr(agent, method)(params))
    assert calls == ["RetrievePropertiesEx"]


def test_a_known_datastore_takes_one_call(agent: VSphereAgent, calls: list[str]) -> None:
    url = result(agent.datastore_discover({}))[0]["info.url"]
    result(agent.datastore_get({"name": url}))
    calls.clear()
    result(agent.datastore_get({"name": url, "properties": ["info", "summary", "vm"]}))
    assert calls == ["RetrievePropertiesEx"]


def test_a_cold_agent_takes_few_calls(vcenter: Simulator, calls: list[str]) -> None:
    agent = agent_for(vcenter)
    result(agent.vm_get({"name": "DC0_C0_RP0_VM9", "properties": ["config", "runtime"]}))
    assert calls == [
        "RetrieveContent",
        "Login",
        "CreatePropertyCollector",
        "CreateContainerView",
        "CreateFilter",
        "WaitForUpdatesEx",
        "RetrievePropertiesEx",
    ]
    agent.teardown()


def test_an_unknown_name_costs_one_look_at_the_names(agent: VSphereAgent, calls: list[str]) -> None:
    result(agent.vm_discover({}))
    agent.vm_get({"name": "nowhere"})
    calls.clear()
    reply = agent.vm_get({"name": "nowhere"})
    assert reply["success"] == 1
    assert reply["msg"] == "Cannot find object nowhere"
    assert reply["error"]["code"] == "task_failed"
    assert reply["error"]["reason"] == "not_found"
    assert calls == ["RetrievePropertiesEx"]


def test_an_unknown_reference_is_not_found(agent: VSphereAgent) -> None:
    reply = agent.vm_get({"name": "VirtualMachine:vm-99999"})
    assert reply["msg"] == "Cannot find object VirtualMachine:vm-99999"


@pytest.mark.parametrize(
    ("method", "params"),
    [
        ("vm_get", {"name": "DC0_C0_RP0_VM9", "properties": ["runtime.powerstate"]}),
        ("vm_discover", {"properties": ["runtime.powerstate"]}),
    ],
)
def test_an_unknown_property_is_named(
    agent: VSphereAgent, method: str, params: dict[str, Any]
) -> None:
    reply = getattr(agent, method)(params)
    assert reply["error"]["code"] == "invalid_params"
    assert reply["error"]["field"] == "properties"
    assert reply["error"]["property"] == "runtime.powerstate"
    assert "did you mean runtime.powerState?" in reply["msg"]


def test_an_unknown_fact_of_about_is_named(agent: VSphereAgent) -> None:
    assert "AboutInfo has no property verson" in agent.about({"properties": ["verson"]})["msg"]


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": None}, "name"),
        ({"name": 7}, "name"),
        ({"name": "vm01", "properties": "name"}, "properties"),
        ({"name": "vm01", "properties": [7]}, "properties[0]"),
    ],
)
def test_a_wrong_parameter_is_named(
    agent: VSphereAgent, params: dict[str, Any], field: str
) -> None:
    reply = agent.vm_get(params)
    assert reply["error"]["code"] == "invalid_params"
    assert reply["error"]["field"] == field


def test_vpollers_unset_parameters_do_no_harm(agent: VSphereAgent) -> None:
    vpollers = {"properties": None, "helper": None, "key": None, "name": None, "hostname": "x"}
    assert len(result(agent.vm_discover(vpollers))) == VMS


def test_eight_threads_share_one_session(vcenter: Simulator) -> None:
    agent = agent_for(vcenter)
    before = vcenter.sessions()

    def ask(number: int) -> Any:
        name = f"DC{number % 2}_C0_RP0_VM{number}"
        if number % 25 == 0:
            return len(names(agent.vm_discover({}))) == VMS
        asked = {"name": name, "properties": ["config", "runtime.powerState"]}
        return result(agent.vm_get(asked))[0]["config"]["name"] == name

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(200)))
    assert vcenter.sessions() == before + 1
    agent.teardown()
    assert vcenter.sessions() == before


def test_the_host_of_agents_routes_by_hostname(agent: VSphereAgent) -> None:
    host = AgentHost([agent])
    request = {"method": "vm.get", "hostname": agent.hostnames[0], "name": "DC0_C0_RP0_VM1"}
    assert host.call(request)["result"] == [{"name": "DC0_C0_RP0_VM1"}]
    assert host.call({**request, "hostname": "vc99"})["error"]["code"] == "unknown_host"


def test_long_answers_come_in_pages(calls: list[str]) -> None:
    with running(vms=250, page=100) as paged:
        agent = agent_for(paged)
        assert len(set(names(agent.vm_discover({})))) == 250
        agent.teardown()
    assert calls.count("ContinueRetrievePropertiesEx") == 2
