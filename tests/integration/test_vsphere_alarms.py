"""Triggered alarms, on a simulated vCenter."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pytest

from tests.support.vcsim import Simulator, agent_for, running

pytest.importorskip("pyVmomi")

from workers.vsphere import VSphereAgent

MACHINE = "DC0_C0_RP0_VM0"
FIELDS = (
    "key",
    "info",
    "time",
    "entity",
    "acknowledged",
    "overallStatus",
    "acknowledgedByUser",
)

#: What is triggered on the first object of each kind, and on what is in it.
TRIGGERED = {
    "datacenter": ("DC0", 6),
    "cluster": ("DC0_C0", 2),
    "host": ("DC0_C0_H0", 1),
    "vm": (MACHINE, 2),
    "datastore": ("LocalDS_0", 1),
}


@pytest.fixture(scope="module")
def vcenter() -> Iterator[Simulator]:
    with running(vms=4, features=["alarms"]) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def agent(vcenter: Simulator) -> Iterator[VSphereAgent]:
    agent = agent_for(vcenter)
    for kind, (name, _) in TRIGGERED.items():
        alarms(agent, kind, name=name)
    yield agent
    agent.teardown()


def alarms(agent: VSphereAgent, kind: str, **given: Any) -> Any:
    envelope = getattr(agent, f"{kind}_alarm_get")(given)
    assert envelope["success"] == 0, envelope["msg"]
    return envelope["result"]


@pytest.mark.parametrize("kind", TRIGGERED)
def test_alarms_are_told_of_each_kind_of_object(agent: VSphereAgent, kind: str) -> None:
    name, number = TRIGGERED[kind]
    rows = alarms(agent, kind, name=name)
    assert len(rows) == number
    assert {tuple(row) for row in rows} == {FIELDS}


def test_an_alarm_is_told_with_its_name_and_that_of_its_object(agent: VSphereAgent) -> None:
    usage, memory = alarms(agent, "vm", name=MACHINE)
    assert (usage["info"], usage["entity"]) == ("Virtual machine CPU usage", MACHINE)
    assert (usage["overallStatus"], usage["acknowledged"]) == ("red", False)
    assert usage["acknowledgedByUser"] is None
    assert datetime.fromisoformat(usage["time"]).tzinfo is not None
    assert (memory["acknowledged"], memory["acknowledgedByUser"]) == (
        True,
        "VSPHERE.LOCAL\\operator",
    )


def test_a_cluster_has_the_alarms_of_its_hosts(agent: VSphereAgent) -> None:
    rows = alarms(agent, "cluster", name="DC0_C0")
    assert {row["entity"] for row in rows} == {"DC0_C0", "DC0_C0_H0"}


def test_alarms_of_many_objects_name_the_object(agent: VSphereAgent) -> None:
    rows = alarms(agent, "host", names=["DC0_C0_H*"])
    assert [(row["name"], row["entity"]) for row in rows] == [("DC0_C0_H0", "DC0_C0_H0")]


@pytest.mark.parametrize("kind", TRIGGERED)
def test_alarms_take_two_calls(vcenter: Simulator, agent: VSphereAgent, kind: str) -> None:
    vcenter.calls(again=True)
    alarms(agent, kind, name=TRIGGERED[kind][0])
    calls = vcenter.calls()
    calls.pop("WaitForUpdatesEx", None)
    assert calls == {"RetrievePropertiesEx": 2}


def test_a_new_alarm_is_told_at_once_and_none_after_its_reset(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    machine = "DC0_C0_RP0_VM3"
    assert alarms(agent, "vm", name=machine) == []
    vcenter.alarm("Host memory & more", machine, "yellow")
    (row,) = alarms(agent, "vm", name=machine)
    assert (row["info"], row["overallStatus"]) == ("Host memory & more", "yellow")
    vcenter.silence()
    assert alarms(agent, "vm", name=machine) == []


def test_an_unknown_object_is_not_found(agent: VSphereAgent) -> None:
    reply = agent.vm_alarm_get({"name": "nowhere"})
    assert reply["error"]["reason"] == "not_found"


def test_alarms_that_may_not_be_read_are_no_empty_list(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    vcenter.deny(MACHINE, "triggeredAlarmState")
    try:
        replies = [agent.vm_alarm_get({"name": MACHINE}), agent.vm_alarm_get({"names": ["DC0_*"]})]
    finally:
        vcenter.mend()
    for reply in replies:
        assert reply["error"]["reason"] == "no_permission"
        assert f"triggeredAlarmState of {MACHINE} may not be read" in reply["msg"]
