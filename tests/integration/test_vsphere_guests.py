"""Guests, snapshots and relations: what the shapes alone do not show."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

from tests.support.vcsim import GUEST_PASSWORD, GUEST_USER, Simulator, agent_for, result, running

pytest.importorskip("pyVmomi")

from workers.vsphere import VSphereAgent

VM, OFF = "DC0_C0_RP0_VM0", "DC0_C0_RP0_VM3"
#: The first machine of all, which has the snapshots.
FIRST = "DC0_H0_VM0"
GUEST = {"username": GUEST_USER, "password": GUEST_PASSWORD}


@pytest.fixture(scope="module")
def vcenter() -> Iterator[Simulator]:
    with running(vms=4, standalone_hosts=1, features=("guests", "snapshots", "off")) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def agent(vcenter: Simulator) -> Iterator[VSphereAgent]:
    agent = agent_for(vcenter)
    yield agent
    agent.teardown()


def test_all_disks_of_a_guest_are_told_without_a_key(agent: VSphereAgent) -> None:
    whole = result(agent.vm_disk_get({"name": VM}))
    assert whole == result(agent.vm_disk_discover({"name": VM}))
    for disk in whole[0]["disk"]:
        (one,) = result(agent.vm_disk_get({"name": VM, "key": disk["diskPath"]}))
        assert one == {"name": VM, "disk": disk}


def test_a_disk_that_is_not_there_is_answered_with_those_that_are(agent: VSphereAgent) -> None:
    reply = agent.vm_disk_get({"name": VM, "key": "D:\\"})
    assert reply["error"]["reason"] == "not_found"
    assert reply["msg"] == f"{VM} has no disk D:\\; its disks are /, /boot, /var/lib/data"


def test_a_guest_without_tools_has_no_disks(agent: VSphereAgent) -> None:
    assert result(agent.vm_disk_discover({"name": OFF})) == [{"name": OFF, "disk": []}]
    reply = agent.vm_disk_get({"name": OFF, "key": "/"})
    assert "its VMware Tools tell of none" in reply["msg"]


def test_one_disk_of_several_machines_is_null_where_it_is_not(agent: VSphereAgent) -> None:
    rows = result(agent.vm_disk_get({"names": [VM, OFF], "key": "/boot"}))
    assert [row["name"] for row in rows] == [VM, OFF]
    assert rows[0]["disk"]["diskPath"] == "/boot"
    assert rows[1]["disk"] is None


def test_snapshots_of_any_depth_are_told_parents_first(agent: VSphereAgent) -> None:
    found = [snapshot["name"] for snapshot in result(agent.vm_snapshot_get({"name": FIRST}))]
    levels = [f"level {number}" for number in range(1, 8)]
    assert [name for name in found if name != "branch"] == levels
    assert found.index("branch") > found.index("level 3")


def test_a_machine_without_snapshots_has_none(agent: VSphereAgent) -> None:
    assert result(agent.vm_snapshot_get({"name": "DC0_C0_RP0_VM2"})) == []


def test_processes_are_told_with_what_is_asked(agent: VSphereAgent) -> None:
    rows = result(agent.vm_process_get({"name": VM, **GUEST}))
    assert {tuple(row) for row in rows} == {("name", "cmdLine")}
    asked = {"name": VM, **GUEST, "properties": ["pid", "owner"], "key": "worker"}
    workers = result(agent.vm_process_get(asked))
    assert [row["name"] for row in workers] == ["nginx", "nginx"]
    assert {tuple(row) for row in workers} == {("name", "cmdLine", "pid", "owner")}


def test_an_unknown_property_of_a_process_is_named(agent: VSphereAgent) -> None:
    reply = agent.vm_process_get({"name": VM, **GUEST, "properties": ["cmdline"]})
    assert reply["error"]["code"] == "invalid_params"
    assert "did you mean cmdLine?" in reply["msg"]


def test_a_guest_that_refuses_a_login_is_named_and_the_password_is_not(
    agent: VSphereAgent, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    refused = {"name": VM, "username": GUEST_USER, "password": "wr0ng-word"}
    reply = agent.vm_process_get(refused)
    assert reply["error"]["reason"] == "guest_login_refused"
    assert f"The guest of {VM} refused the login of user '{GUEST_USER}'" in reply["msg"]
    assert "wr0ng-word" not in str(reply) + caplog.text
    # That was the guest's login, not the vCenter's.
    assert len(result(agent.vm_process_get({"name": VM, **GUEST}))) > 0


def test_a_guest_that_is_off_is_answered_in_words(agent: VSphereAgent) -> None:
    reply = agent.vm_process_get({"name": OFF, **GUEST})
    assert reply["error"]["reason"] == "guest_unavailable"
    assert "it must be powered on, with VMware Tools running" in reply["msg"]


def test_processes_take_two_calls_even_by_an_inventory_path(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    asked = {"name": f"/DC0/vm/{VM}", **GUEST}
    result(agent.vm_process_get(asked))
    vcenter.calls(again=True)
    result(agent.vm_process_get(asked))
    made = vcenter.calls()
    made.pop("WaitForUpdatesEx", None)
    assert made == {"RetrievePropertiesEx": 1, "ListProcessesInGuest": 1}


def test_a_host_of_no_cluster_has_none(agent: VSphereAgent) -> None:
    rows = result(agent.host_cluster_get({"names": ["DC0_C0_H0", "DC0_H0"]}))
    clusters = {row["name"]: row["cluster"] for row in rows}
    assert clusters == {"DC0_C0_H0": "DC0_C0", "DC0_H0": None}


def test_the_machines_of_all_pools_are_told_when_none_is_named(agent: VSphereAgent) -> None:
    rows = result(agent.resource_pool_vm_get({}))
    everywhere = result(agent.vm_discover({}))
    assert sorted(row["name"] for row in rows) == sorted(row["name"] for row in everywhere)
    assert {tuple(row) for row in rows} == {("name", "resourcePool.name")}


def test_what_may_not_be_read_of_a_relation_is_no_empty_list(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    vcenter.deny("DC0_C0_H0", "vm")
    try:
        assert agent.host_vm_get({"name": "DC0_C0_H0"})["error"]["reason"] == "no_permission"
    finally:
        vcenter.mend()
