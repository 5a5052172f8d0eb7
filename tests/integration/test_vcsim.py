"""The simulated vCenter does what the tests order."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.vcsim import FEATURES, GUEST_PASSWORD, GUEST_USER, Simulator, agent_for, running

pytest.importorskip("pyVmomi")

from pyVmomi import vim

from workers.vsphere.session.login import Login
from workers.vsphere.vcenter import VCenter

FIRST, SECOND, LAST = "DC0_C0_RP0_VM0", "DC0_C0_RP0_VM1", "DC0_C0_RP0_VM3"


@pytest.fixture(scope="module")
def simulator() -> Iterator[Simulator]:
    with running(vms=4, pools=1, features=FEATURES) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def vcenter(simulator: Simulator) -> Iterator[VCenter]:
    agent = agent_for(simulator)
    yield agent.vcenter
    agent.teardown()


def machines(vcenter: VCenter) -> list[Any]:
    return list(vcenter.run(lambda login: list(login.view(vim.VirtualMachine).view)))


def machine(vcenter: VCenter, name: str) -> Any:
    return next(each for each in machines(vcenter) if each.name == name)


def depth(tree: list[Any]) -> int:
    return max((1 + depth(node.childSnapshotList) for node in tree), default=0)


def size(tree: list[Any]) -> int:
    return sum(1 + size(node.childSnapshotList) for node in tree)


def test_features_are_there(vcenter: VCenter) -> None:
    assert [each.name for each in machines(vcenter)].count(FIRST) == 2
    assert machine(vcenter, LAST).runtime.powerState == "poweredOff"
    first = machine(vcenter, FIRST)
    assert [disk.diskPath for disk in first.guest.disk] == ["/", "/boot", "/var/lib/data"]
    assert first.guest.net[0].ipAddress[0] == "10.1.0.1"
    tree = first.snapshot.rootSnapshotList
    assert (depth(tree), size(tree)) == (7, 8)
    assert size(machine(vcenter, SECOND).snapshot.rootSnapshotList) == 1


def test_an_unknown_feature_is_refused(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RuntimeError, match="ended with status 1"), running(features=["wings"]):
        pass
    assert "there is no feature wings" in capfd.readouterr().err


def test_processes_are_listed_to_who_may_log_in(vcenter: VCenter) -> None:
    def listed(name: str, password: str) -> Any:
        def work(login: Login) -> Any:
            auth = vim.vm.guest.NamePasswordAuthentication(
                username=GUEST_USER, password=password, interactiveSession=False
            )
            manager = login.content.guestOperationsManager.processManager
            return manager.ListProcessesInGuest(vm=machine(vcenter, name), auth=auth)

        # Not by the vCenter's run: it would explain the faults.
        return work(vcenter._session.login())

    assert len(listed(FIRST, GUEST_PASSWORD)) == 5
    with pytest.raises(vim.fault.InvalidGuestLogin):
        listed(FIRST, "wrong")
    with pytest.raises(vim.fault.InvalidPowerState):
        listed(LAST, GUEST_PASSWORD)


def test_machines_come_are_renamed_and_go(simulator: Simulator, vcenter: VCenter) -> None:
    before = len(machines(vcenter))
    reference = simulator.add("fresh", like=SECOND, pool="DC0_C0_RP1", folder="new ones")
    fresh = machine(vcenter, "fresh")
    assert reference == simulator.reference("fresh") == f"VirtualMachine:{fresh._moId}"
    assert (fresh.resourcePool.name, fresh.parent.name) == ("DC0_C0_RP1", "new ones")
    simulator.rename("fresh", "stale")
    assert machine(vcenter, "stale").config.name == "stale"
    simulator.remove(reference)
    assert len(machines(vcenter)) == before


def test_an_order_that_cannot_be_obeyed_is_an_error(simulator: Simulator) -> None:
    with pytest.raises(ValueError, match="rename: there is no"):
        simulator.rename("nobody", "somebody")


def test_one_operation_can_be_late(simulator: Simulator, vcenter: VCenter) -> None:
    manager = vcenter.run(lambda login: login.content.sessionManager)
    simulator.delay(0.3, "RetrievePropertiesEx")
    try:
        started = time.monotonic()
        simulator.calls(again=True)
        vcenter.read(manager, "sessionList")
        assert time.monotonic() - started >= 0.3
        assert simulator.calls()["RetrievePropertiesEx"] == 1
    finally:
        simulator.delay(0)


def test_a_fault_can_be_of_one_object_and_so_many_times(
    simulator: Simulator, vcenter: VCenter
) -> None:
    first, second = machine(vcenter, FIRST), machine(vcenter, SECOND)
    simulator.fault("NoPermission", "Fetch", object_id=first._moId, times=1)
    assert second.name == SECOND
    with pytest.raises(vim.fault.NoPermission):
        _ = first.name
    assert first.name == FIRST
