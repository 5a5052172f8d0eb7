"""What becomes of vSphere's properties as metrics, without a vCenter."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

pytest.importorskip("pyVmomi")

from pyVmomi import vim

from workers.vsphere.metrics.alarms import MOST, alarms
from workers.vsphere.metrics.clusters import clusters
from workers.vsphere.metrics.datastores import datastores
from workers.vsphere.metrics.estate import Estate, Filters, Thing
from workers.vsphere.metrics.families import Family
from workers.vsphere.metrics.hosts import hosts
from workers.vsphere.metrics.machines import machines
from workers.vsphere.metrics.snapshots import snapshots

GIB = 1 << 30
MIB = 1 << 20


def estate(filters: Filters | None = None, **changes: Any) -> Estate:
    """Return a datacenter with a cluster of one host, a host beside it, and two machines."""
    things: dict[str, dict[str, dict[str, Any]]] = {
        "datacenter": {"dc-1": {"name": "DC"}},
        "folder": {
            "f-1": {"parent": vim.Datacenter("dc-1")},
            "f-2": {"parent": vim.Folder("f-1")},
        },
        "cluster": {"c-1": {"name": "C", "parent": vim.Folder("f-2")}},
        "compute": {"cr-1": {"name": "alone", "parent": vim.Folder("f-1")}},
        "host": {
            "h-1": {"name": "in", "parent": vim.ClusterComputeResource("c-1")},
            "h-2": {"name": "alone", "parent": vim.ComputeResource("cr-1")},
        },
        "vm": {
            "vm-1": {"name": "db1", "runtime.host": vim.HostSystem("h-1")},
            "vm-2": {"name": "web1", "runtime.host": vim.HostSystem("h-2")},
        },
        "datastore": {"ds-1": {"name": "store", "parent": vim.Folder("f-1")}},
    }
    for kind, properties in changes.items():
        first = next(iter(things[kind]))
        things[kind][first] |= properties
    return Estate(
        {
            kind: {id_: Thing(id_, held) for id_, held in all_.items()}
            for kind, all_ in things.items()
        },
        filters or Filters(),
    )


def values(families: Any, **labels: str) -> dict[str, float]:
    """Return the value of each metric that has a sample with these labels, and only one."""
    found: dict[str, float] = {}
    for family in families:
        for told in rows(family):
            if labels.items() <= told[0].items():
                assert family.name not in found
                found[family.name] = told[1]
    return found


def rows(family: Family) -> list[tuple[dict[str, str], float]]:
    return [
        (dict(zip(family.labels, given, strict=True)), value) for given, value in family.samples
    ]


def test_every_object_is_told_where_it_belongs() -> None:
    whole = estate()
    labels = {
        thing.id: told for kind in ("vm", "host", "datastore") for thing, told in whole.wanted(kind)
    }
    place = {"cluster": "C", "datacenter": "DC"}
    alone = {"cluster": "", "datacenter": "DC"}
    assert labels == {
        "vm-1": {"vm": "db1", "moref": "vm-1", **place},
        "vm-2": {"vm": "web1", "moref": "vm-2", **alone},
        "h-1": {"host": "in", "moref": "h-1", **place},
        "h-2": {"host": "alone", "moref": "h-2", **alone},
        "ds-1": {"datastore": "store", "moref": "ds-1", "datacenter": "DC"},
    }


def test_what_may_not_be_read_leaves_its_place_empty() -> None:
    lost = estate(vm={"runtime.host": None}, cluster={"parent": None}, datastore={"name": None})
    labels = {
        thing.id: told for kind in ("vm", "host", "datastore") for thing, told in lost.wanted(kind)
    }
    assert labels["vm-1"] == {"vm": "db1", "moref": "vm-1", "cluster": "", "datacenter": ""}
    assert labels["h-1"]["datacenter"] == ""
    assert labels["ds-1"]["datastore"] == "ds-1"


def test_folders_in_a_circle_end() -> None:
    round_ = estate(folder={"parent": vim.Folder("f-2")})
    assert [labels["datacenter"] for _, labels in round_.wanted("host")] == ["", ""]


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        ([], [], ["db1", "web1"]),
        (["vm:db*"], [], ["db1"]),
        (["vm:db*", "vm:web?"], [], ["db1", "web1"]),
        (["host:none"], [], ["db1", "web1"]),
        ([], ["vm:*1"], []),
        (["vm:db*"], ["vm:db1"], []),
        ([], ["host:*"], ["db1", "web1"]),
        (["vm:DB*"], [], []),
    ],
)
def test_filters_go_by_kind_and_pattern(
    include: list[str], exclude: list[str], left: list[str]
) -> None:
    wanted = estate(Filters(include, exclude)).wanted("vm")
    assert [thing.name for thing, _ in wanted] == left


def test_a_machine_is_measured_in_base_units() -> None:
    stats = vim.vm.Summary.QuickStats(
        overallCpuUsage=1500,
        guestMemoryUsage=256,
        hostMemoryUsage=1024,
        balloonedMemory=3,
        swappedMemory=2,
        compressedMemory=5,
        uptimeSeconds=77,
    )
    disk = vim.vm.GuestInfo.DiskInfo(diskPath="/", capacity=10 * GIB, freeSpace=GIB)
    machine = {
        "runtime.powerState": vim.VirtualMachine.PowerState.poweredOn,
        "runtime.connectionState": vim.VirtualMachine.ConnectionState.connected,
        "runtime.maxCpuUsage": 4000,
        "summary.quickStats": stats,
        "summary.storage": vim.vm.Summary.StorageSummary(committed=3 * GIB, uncommitted=GIB),
        "summary.config.numCpu": 2,
        "summary.config.memorySizeMB": 2048,
        "guest.toolsRunningStatus": "guestToolsRunning",
        # The same path twice would be the same series twice.
        "guest.disk": [disk, disk],
    }
    told = values(machines(estate(vm=machine)), vm="db1")
    assert told == {
        "vsphere_vm_info": 1,
        "vsphere_vm_powered_on": 1,
        "vsphere_vm_connected": 1,
        "vsphere_vm_guest_tools_running": 1,
        "vsphere_vm_cpus": 2,
        "vsphere_vm_cpu_usage_hertz": 1.5e9,
        "vsphere_vm_cpu_capacity_hertz": 4e9,
        "vsphere_vm_memory_size_bytes": 2 * GIB,
        "vsphere_vm_memory_active_bytes": 256 * MIB,
        "vsphere_vm_memory_consumed_bytes": GIB,
        "vsphere_vm_memory_ballooned_bytes": 3 * MIB,
        "vsphere_vm_memory_swapped_bytes": 2 * MIB,
        "vsphere_vm_memory_compressed_bytes": 5 << 10,
        "vsphere_vm_uptime_seconds": 77,
        "vsphere_vm_storage_committed_bytes": 3 * GIB,
        "vsphere_vm_storage_uncommitted_bytes": GIB,
        "vsphere_vm_guest_disk_size_bytes": 10 * GIB,
        "vsphere_vm_guest_disk_free_bytes": GIB,
    }


def test_what_is_not_known_has_no_sample() -> None:
    assert values(machines(estate()), vm="db1") == {"vsphere_vm_info": 1}
    assert values(datastores(estate()), datastore="store") == {}


def test_a_host_is_measured_in_base_units() -> None:
    host = {
        "runtime.connectionState": vim.HostSystem.ConnectionState.notResponding,
        "runtime.inMaintenanceMode": True,
        "runtime.bootTime": datetime(2026, 1, 1, tzinfo=UTC),
        "summary.quickStats": vim.host.Summary.QuickStats(
            overallCpuUsage=100, overallMemoryUsage=512
        ),
        "summary.hardware.cpuMhz": 2000,
        "summary.hardware.numCpuCores": 8,
        "summary.hardware.numCpuThreads": 16,
        "summary.hardware.memorySize": 4 * GIB,
        "summary.config.product.version": "8.0.2",
    }
    whole = estate(host=host)
    told = values(hosts(whole), host="in")
    assert told == {
        "vsphere_host_info": 1,
        "vsphere_host_connected": 0,
        "vsphere_host_in_maintenance_mode": 1,
        "vsphere_host_cpu_cores": 8,
        "vsphere_host_cpu_threads": 16,
        "vsphere_host_cpu_capacity_hertz": 16e9,
        "vsphere_host_cpu_usage_hertz": 1e8,
        "vsphere_host_memory_size_bytes": 4 * GIB,
        "vsphere_host_memory_usage_bytes": 512 * MIB,
        "vsphere_host_boot_timestamp_seconds": 1767225600,
    }
    assert values(hosts(whole), version="8.0.2") == {"vsphere_host_info": 1}


def test_a_cluster_counts_its_machines_whatever_is_filtered() -> None:
    summary = vim.ClusterComputeResource.Summary(
        numHosts=2,
        numEffectiveHosts=1,
        totalCpu=5000,
        effectiveCpu=4000,
        totalMemory=GIB,
        effectiveMemory=512,
    )
    whole = estate(
        Filters(exclude=["vm:*"]),
        vm={"runtime.powerState": vim.VirtualMachine.PowerState.suspended},
        cluster={"summary": summary},
    )
    assert values(clusters(whole), cluster="C", state="suspended") == {"vsphere_cluster_vms": 1}
    assert values(clusters(whole), cluster="C", state="on") == {"vsphere_cluster_vms": 0}
    told = {family.name: rows(family)[0][1] for family in clusters(whole)}
    del told["vsphere_cluster_vms"]
    assert told == {
        "vsphere_cluster_hosts": 2,
        "vsphere_cluster_effective_hosts": 1,
        "vsphere_cluster_cpu_capacity_hertz": 5e9,
        "vsphere_cluster_cpu_effective_hertz": 4e9,
        "vsphere_cluster_memory_size_bytes": GIB,
        "vsphere_cluster_memory_effective_bytes": 512 * MIB,
    }


def test_a_datastore_is_measured() -> None:
    summary = vim.Datastore.Summary(
        capacity=100,
        freeSpace=40,
        uncommitted=30,
        accessible=False,
        maintenanceMode="inMaintenance",
        type="VMFS",
        url="ds:///vmfs/volumes/1/",
    )
    whole = estate(datastore={"summary": summary})
    assert values(datastores(whole), datastore="store") == {
        "vsphere_datastore_info": 1,
        "vsphere_datastore_accessible": 0,
        "vsphere_datastore_in_maintenance_mode": 1,
        "vsphere_datastore_capacity_bytes": 100,
        "vsphere_datastore_free_bytes": 40,
        "vsphere_datastore_uncommitted_bytes": 30,
    }


def test_snapshots_are_counted_at_any_depth() -> None:
    tree = None
    for day in range(30, 0, -1):
        taken = datetime(2026, 1, day, tzinfo=UTC)
        below = [tree] if tree else []
        tree = vim.vm.SnapshotTree(createTime=taken, childSnapshotList=below)
    info = vim.vm.SnapshotInfo(rootSnapshotList=[tree])
    whole = estate(vm={"snapshot": info})
    told = values(snapshots(whole), vm="db1")
    assert told["vsphere_vm_snapshots"] == 30
    assert told["vsphere_vm_snapshot_oldest_timestamp_seconds"] == 1767225600
    assert values(snapshots(whole), vm="web1") == {"vsphere_vm_snapshots": 0}


def alarm(number: int, entity: Any, status: str = "red") -> Any:
    return vim.alarm.AlarmState(
        key=f"{number}",
        entity=entity,
        alarm=vim.alarm.Alarm(f"alarm-{number}"),
        overallStatus=status,
        time=datetime(2026, 1, 1, tzinfo=UTC),
        acknowledged=False,
    )


def test_alarms_are_told_with_their_objects() -> None:
    states = [
        alarm(1, vim.VirtualMachine("vm-1")),
        alarm(2, vim.ResourcePool("pool-1"), "yellow"),
        alarm(3, vim.VirtualMachine("vm-2")),
    ]
    filtered = estate(Filters(exclude=["vm:web*"]))
    told = {each.name: each for each in alarms(filtered, states, {"alarm-1": "CPU"})}
    assert rows(told["vsphere_alarms"]) == [({"status": "red"}, 1), ({"status": "yellow"}, 1)]
    assert [labels for labels, _ in rows(told["vsphere_alarm_triggered"])] == [
        {
            "alarm": "CPU",
            "status": "red",
            "kind": "vm",
            "entity": "db1",
            "moref": "vm-1",
            "acknowledged": "false",
        },
        {
            "alarm": "alarm-2",
            "status": "yellow",
            "kind": "ResourcePool",
            "entity": "pool-1",
            "moref": "pool-1",
            "acknowledged": "false",
        },
    ]


def test_alarms_are_bounded() -> None:
    states = [alarm(number, vim.VirtualMachine("vm-1")) for number in range(MOST + 5)]
    told = {each.name: each for each in alarms(estate(), states, {})}
    assert len(told["vsphere_alarm_triggered"].samples) == MOST
    assert told["vsphere_alarms"].samples[0][1] == MOST + 5
    assert told["vsphere_alarms_omitted"].samples[0][1] == 5
