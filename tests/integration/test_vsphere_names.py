"""How objects are named to the vSphere agent, and how it follows their names."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.support.vcsim import Simulator, agent_for, result, running

pytest.importorskip("pyVmomi")

from workers.vsphere import VSphereAgent
from workers.vsphere.inventory.watch import THREAD_NAME

#: Seconds in which news of a name arrive, and far less than a look-up may take.
SOON = 15.0

FIRST = "DC0_C0_RP0_VM0"


@pytest.fixture(scope="module")
def vcenter() -> Iterator[Simulator]:
    with running(vms=6, datacenters=2, features=("duplicates",)) as simulator:
        yield simulator


@pytest.fixture
def agent(vcenter: Simulator) -> Iterator[VSphereAgent]:
    agent = agent_for(vcenter)
    yield agent
    agent.teardown()
    assert followers() == []
    assert vcenter.sessions() == 0


def followers() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == THREAD_NAME]


def names(agent: VSphereAgent, *wanted: str) -> list[str]:
    return sorted(row["name"] for row in result(agent.vm_get({"names": wanted})))


def reason(reply: dict[str, Any]) -> str:
    assert reply["success"] == 1
    return str(reply["error"]["reason"])


def eventually(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def calls(vcenter: Simulator, ask: Callable[[], Any]) -> dict[str, int]:
    """Return the calls that ``ask`` takes, but for those that wait for news."""
    vcenter.calls(again=True)
    ask()
    return {name: number for name, number in vcenter.calls().items() if name != "WaitForUpdatesEx"}


def identity(agent: VSphereAgent, name: str) -> dict[str, str]:
    asked = ["summary.vm", "config.instanceUuid", "config.uuid"]
    row: dict[str, str] = result(agent.vm_get({"name": name, "properties": asked}))[0]
    return row


def test_a_machine_is_found_by_all_that_it_is_known_by(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    row = identity(agent, "DC0_C0_RP0_VM1")
    reference = row["summary.vm"]
    for name in (
        reference,
        reference.removeprefix("VirtualMachine:"),
        row["config.instanceUuid"],
        row["config.uuid"].upper(),
    ):
        assert calls(vcenter, lambda name=name: names_of(agent, name)) == {
            "RetrievePropertiesEx": 1
        }
        assert names_of(agent, name) == ["DC0_C0_RP0_VM1"]


def names_of(agent: VSphereAgent, name: str) -> list[str]:
    return [row["name"] for row in result(agent.vm_get({"name": name}))]


def test_an_inventory_path_tells_machines_of_one_name_apart(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    result(agent.vm_get({"name": "DC0_C0_RP0_VM1"}))
    assert reason(agent.vm_get({"name": FIRST})) == "ambiguous"
    one = identity(agent, f"/DC0/vm/{FIRST}")
    other = identity(agent, f"/DC0/vm/copies/{FIRST}")
    assert one["summary.vm"] == vcenter.reference(FIRST)
    assert other["summary.vm"] != one["summary.vm"]
    found = calls(vcenter, lambda: identity(agent, f"/DC0/vm/copies/{FIRST}"))
    assert found == {"RetrievePropertiesEx": 1}
    assert reason(agent.vm_get({"name": f"/DC1/vm/{FIRST}"})) == "not_found"


def test_an_ambiguous_name_is_answered_with_references_and_paths(agent: VSphereAgent) -> None:
    reply = agent.vm_get({"name": FIRST})
    paths = [f"/DC0/vm/{FIRST}", f"/DC0/vm/copies/{FIRST}"]
    assert sorted(reply["error"]["paths"]) == paths
    for reference, path in zip(reply["error"]["candidates"], reply["error"]["paths"], strict=True):
        assert f"{reference} at {path}" in reply["msg"]
        assert identity(agent, path)["summary.vm"] == reference


def test_hosts_are_found_by_uuid_and_by_path(agent: VSphereAgent) -> None:
    asked = {"name": "DC0_C0_H1", "properties": ["summary.hardware.uuid"]}
    uuid = result(agent.host_get(asked))[0]["summary.hardware.uuid"]
    # The simulator gives all of its hosts one and the same.
    reply = agent.host_get({"name": uuid})
    assert reply["success"] == 0 or reason(reply) == "ambiguous"
    by_path = result(agent.host_get({"name": "/DC0/host/DC0_C0/DC0_C0_H1"}))
    assert by_path == [{"name": "DC0_C0_H1"}]


def test_names_with_escaped_characters_are_found_as_people_write_them() -> None:
    with running(vms=2) as simulator:
        agent = agent_for(simulator)
        simulator.rename("DC0_C0_RP0_VM0", "web%2fa%5cb 100%25")
        for name in (
            "web%2fa%5cb 100%25",
            "web%2Fa%5Cb 100%25",
            "web/a\\b 100%",
            "/DC0/vm/web%2fa%5cb 100%25",
        ):
            assert names_of(agent, name) == ["web%2fa%5cb 100%25"]
        assert names(agent, "web/*") == ["web%2fa%5cb 100%25"]
        agent.teardown()


def test_several_machines_are_read_in_one_call(vcenter: Simulator, agent: VSphereAgent) -> None:
    reference = vcenter.reference("DC1_C0_RP0_VM0")
    wanted = ["DC0_C0_RP0_VM1", reference, "DC1*", "nothing-*"]
    asked = {"names": wanted, "properties": ["runtime.powerState"]}
    rows = result(agent.vm_get(asked))
    assert sorted(row["name"] for row in rows) == [
        "DC0_C0_RP0_VM1",
        "DC1_C0_RP0_VM0",
        "DC1_C0_RP0_VM1",
        "DC1_C0_RP0_VM2",
    ]
    assert {tuple(row) for row in rows} == {("name", "runtime.powerState")}
    assert calls(vcenter, lambda: agent.vm_get(asked)) == {"RetrievePropertiesEx": 1}
    # A pattern may mean machines of one name, each of which is told.
    assert names(agent, f"{FIRST}*") == [FIRST, FIRST]


def test_all_names_that_are_missing_are_told(agent: VSphereAgent) -> None:
    reply = agent.vm_get({"names": ["DC0_C0_RP0_VM1", "web", "db"]})
    assert reply["msg"] == "Cannot find objects web, db"
    assert reply["error"]["names"] == ["web", "db"]


def test_relations_of_several_objects_are_told_with_their_names(agent: VSphereAgent) -> None:
    rows = result(agent.host_vm_get({"names": ["DC1*"]}))
    assert {row["name"] for row in rows} == {"DC1_C0_H0", "DC1_C0_H1", "DC1_C0_H2"}
    machines = [machine["name"] for row in rows for machine in row["vm"]]
    assert sorted(machines) == ["DC1_C0_RP0_VM0", "DC1_C0_RP0_VM1", "DC1_C0_RP0_VM2"]
    hosts = result(agent.vm_host_get({"names": ["DC1*"]}))
    on = {machine["name"]: row["name"] for row in rows for machine in row["vm"]}
    assert {row["name"]: row["host"] for row in hosts} == on


def test_renamed_added_and_removed_machines_are_seen_in_seconds() -> None:
    with running(vms=3) as simulator:
        agent = agent_for(simulator)
        assert names(agent, "web-*") == []
        simulator.rename("DC0_C0_RP0_VM1", "web-1")
        eventually(lambda: names(agent, "web-*") == ["web-1"])
        simulator.add("web-2", "DC0_C0_RP0_VM0")
        eventually(lambda: names(agent, "web-*") == ["web-1", "web-2"])
        simulator.power("web-1", on=False)
        simulator.remove("web-1")
        eventually(lambda: names(agent, "web-*") == ["web-2"])
        simulator.add("web-2", "DC0_C0_RP0_VM0", folder="other")
        eventually(lambda: agent.vm_get({"name": "web-2"})["success"] == 1)
        assert reason(agent.vm_get({"name": "web-2"})) == "ambiguous"
        agent.teardown()


def test_a_name_is_not_missing_because_it_was() -> None:
    with running(vms=2) as simulator:
        agent = agent_for(simulator)
        for number in range(3):
            assert reason(agent.vm_get({"name": f"new-{number}"})) == "not_found"
            simulator.add(f"new-{number}", "DC0_C0_RP0_VM0")
            assert names_of(agent, f"new-{number}") == [f"new-{number}"]
        agent.teardown()


def test_a_new_machine_of_a_name_that_is_known_is_found_by_its_path_at_once() -> None:
    with running(vms=2) as simulator:
        agent = agent_for(simulator)
        assert names_of(agent, FIRST) == [FIRST]
        for folder in ("one", "two", "three"):
            simulator.add(FIRST, FIRST, folder=folder)
            path = f"/DC0/vm/{folder}/{FIRST}"
            made = calls(simulator, lambda path=path: names_of(agent, path))
            assert made["RetrievePropertiesEx"] <= 3
        agent.teardown()


def test_nothing_is_followed_before_a_name_is_looked_up(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    assert len(result(agent.vm_discover({}))) == 7
    reference = vcenter.reference(FIRST)
    assert names_of(agent, reference) == [FIRST]
    assert followers() == []
    names_of(agent, "DC0_C0_RP0_VM1")
    assert len(followers()) == 1


def test_threads_share_what_is_known(vcenter: Simulator, agent: VSphereAgent) -> None:
    vcenter.calls(again=True)
    with ThreadPoolExecutor(8) as threads:
        wanted = ["DC0_C0_RP0_VM1", "DC1_C0_RP0_VM0", "DC1_C0_RP0_VM1"] * 8
        found = list(threads.map(lambda name: names_of(agent, name), wanted))
    assert found == [[name] for name in wanted]
    made = vcenter.calls()
    assert made["CreatePropertyCollector"] == made["Login"] == 1
    assert len(followers()) == 1


@pytest.mark.parametrize("loss", ["expire", "drop"])
def test_what_is_known_is_loaded_again_when_the_session_or_connection_is_lost(
    vcenter: Simulator, agent: VSphereAgent, loss: str
) -> None:
    assert names(agent, "DC1*VM0") == ["DC1_C0_RP0_VM0"]
    getattr(vcenter, loss)()
    assert names(agent, "DC1*VM0") == ["DC1_C0_RP0_VM0"]
    eventually(lambda: names(agent, "DC1*VM0") != [] and len(followers()) == 1)
    assert vcenter.sessions() == 1


@pytest.mark.parametrize("fault", ["InvalidCollectorVersion", "NotAuthenticated"])
def test_a_refused_wait_for_news_costs_a_new_start(
    vcenter: Simulator, agent: VSphereAgent, fault: str
) -> None:
    assert names(agent, "DC1*VM0") == ["DC1_C0_RP0_VM0"]
    (first,) = followers()
    vcenter.fault(fault, "WaitForUpdatesEx", times=1)
    vcenter.rename("DC1_C0_RP0_VM2", "later")
    first.join(SOON)
    vcenter.mend()
    assert names(agent, "DC1*VM0") == ["DC1_C0_RP0_VM0"]
    vcenter.rename("later", "DC1_C0_RP0_VM2")
    eventually(lambda: names(agent, "DC1*VM2") == ["DC1_C0_RP0_VM2"])
    assert len(followers()) == 1


@pytest.mark.parametrize("limit", [0, 5])
def test_with_more_names_than_the_limit_each_look_up_asks_for_them(
    vcenter: Simulator, limit: int, caplog: pytest.LogCaptureFixture
) -> None:
    agent = agent_for(vcenter, max_names=limit)
    assert names_of(agent, "DC0_C0_RP0_VM1") == ["DC0_C0_RP0_VM1"]
    found = calls(vcenter, lambda: names_of(agent, "DC0_C0_RP0_VM1"))
    assert found == {"RetrievePropertiesEx": 2}
    found = calls(vcenter, lambda: agent.vm_host_get({"name": f"/DC0/vm/copies/{FIRST}"}))
    assert found == {"RetrievePropertiesEx": 3}
    assert followers() == []
    assert names(agent, "DC1*VM0") == ["DC1_C0_RP0_VM0"]
    assert ("more than 5 objects" in caplog.text) == (limit == 5)
    agent.teardown()


def test_a_vcenter_that_lets_nobody_follow_is_asked_each_time(
    vcenter: Simulator, agent: VSphereAgent
) -> None:
    vcenter.fault("NoPermission", "CreatePropertyCollector")
    assert names_of(agent, "DC0_C0_RP0_VM1") == ["DC0_C0_RP0_VM1"]
    vcenter.mend()
    assert names(agent, "DC1*VM0") == ["DC1_C0_RP0_VM0"]
    assert followers() == []
    vcenter.expire()
    assert names(agent, "DC1*VM0") == ["DC1_C0_RP0_VM0"]
    assert len(followers()) == 1, "the next session tries again"


def test_following_goes_on_after_a_restart_of_the_vcenter() -> None:
    with running(vms=2) as first:
        agent = agent_for(first, thumbprint=None, verify=False)
        assert names(agent, "*VM1") == ["DC0_C0_RP0_VM1"]
        address = f"{first.host}:{first.port}"
    with running(vms=3, listen=address) as second:
        assert names(agent, "*VM2") == ["DC0_C0_RP0_VM2"]
        second.rename("DC0_C0_RP0_VM2", "renamed")
        eventually(lambda: names(agent, "renam*") == ["renamed"])
        agent.teardown()
        assert second.sessions() == 0
    assert followers() == []
