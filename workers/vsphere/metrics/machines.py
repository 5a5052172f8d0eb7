"""Virtual machines: what is measured of them."""

from __future__ import annotations

from collections.abc import Iterator

from workers.vsphere.metrics.estate import Estate
from workers.vsphere.metrics.families import PREFIX, Family
from workers.vsphere.metrics.measures import KIB, LABELS, MEGA, MIB, Measure, at, is_so, measured

#: What every collector needs to know of a machine.
BASE = ("name", "runtime.host")

PATHS = (
    *BASE,
    "runtime.powerState",
    "runtime.connectionState",
    "runtime.maxCpuUsage",
    "summary.quickStats",
    "summary.storage",
    "summary.config.numCpu",
    "summary.config.memorySizeMB",
    "summary.config.template",
    "summary.config.guestFullName",
    "guest.toolsRunningStatus",
    "guest.disk",
)

_STATS = "summary.quickStats"

MEASURES = (
    Measure(
        "vm_powered_on",
        "Whether the virtual machine runs; 0 where it is off or suspended.",
        is_so("runtime.powerState", word="poweredOn"),
    ),
    Measure(
        "vm_connected",
        "Whether the vCenter manages the virtual machine; 0 where it is lost or inaccessible.",
        is_so("runtime.connectionState", word="connected"),
    ),
    Measure(
        "vm_guest_tools_running",
        "Whether VMware Tools run in the guest.",
        is_so("guest.toolsRunningStatus", word="guestToolsRunning"),
    ),
    Measure("vm_cpus", "Virtual processors of the virtual machine.", at("summary.config.numCpu")),
    Measure(
        "vm_cpu_usage_hertz",
        "Processor use of the virtual machine.",
        at(_STATS, "overallCpuUsage", times=MEGA),
        "hertz",
    ),
    Measure(
        "vm_cpu_capacity_hertz",
        "Most that the virtual machine may use of the processors.",
        at("runtime.maxCpuUsage", times=MEGA),
        "hertz",
    ),
    Measure(
        "vm_memory_size_bytes",
        "Memory that the guest is given.",
        at("summary.config.memorySizeMB", times=MIB),
        "bytes",
    ),
    Measure(
        "vm_memory_active_bytes",
        "Memory that the guest has used recently, as the host estimates it.",
        at(_STATS, "guestMemoryUsage", times=MIB),
        "bytes",
    ),
    Measure(
        "vm_memory_consumed_bytes",
        "Memory of the host that the virtual machine takes.",
        at(_STATS, "hostMemoryUsage", times=MIB),
        "bytes",
    ),
    Measure(
        "vm_memory_ballooned_bytes",
        "Memory that the balloon driver has taken back from the guest.",
        at(_STATS, "balloonedMemory", times=MIB),
        "bytes",
    ),
    Measure(
        "vm_memory_swapped_bytes",
        "Memory of the virtual machine that the host has swapped out.",
        at(_STATS, "swappedMemory", times=MIB),
        "bytes",
    ),
    Measure(
        "vm_memory_compressed_bytes",
        "Memory of the virtual machine that the host has compressed.",
        at(_STATS, "compressedMemory", times=KIB),
        "bytes",
    ),
    Measure(
        "vm_uptime_seconds",
        "Time since the virtual machine was started.",
        at(_STATS, "uptimeSeconds"),
        "seconds",
    ),
    Measure(
        "vm_storage_committed_bytes",
        "Space that the virtual machine takes on all its datastores.",
        at("summary.storage", "committed"),
        "bytes",
    ),
    Measure(
        "vm_storage_uncommitted_bytes",
        "Further space that the virtual machine's disks may grow to take.",
        at("summary.storage", "uncommitted"),
        "bytes",
    ),
)


def machines(estate: Estate) -> Iterator[Family]:
    """Yield the families of virtual machines."""
    yield _about(estate)
    yield from measured(estate, "vm", MEASURES)
    yield from _guest_disks(estate)


def _about(estate: Estate) -> Family:
    family = Family(
        f"{PREFIX}vm_info",
        "What the virtual machine is, and the host that it is on; always 1.",
        (*LABELS["vm"], "host", "guest_os", "template"),
        type="info",
    )
    for thing, labels in estate.wanted("vm"):
        host = estate.host_of(thing)
        more = {
            "host": host.name if host else "",
            "guest_os": str(thing.properties.get("summary.config.guestFullName") or ""),
            "template": "true" if thing.properties.get("summary.config.template") else "false",
        }
        family.add(labels | more, 1)
    return family


def _guest_disks(estate: Estate) -> Iterator[Family]:
    labels = (*LABELS["vm"], "path")
    size = Family(
        f"{PREFIX}vm_guest_disk_size_bytes",
        "Size of a file system, as VMware Tools tell it.",
        labels,
        "bytes",
    )
    free = Family(
        f"{PREFIX}vm_guest_disk_free_bytes",
        "Free space of a file system, as VMware Tools tell it.",
        labels,
        "bytes",
    )
    for thing, known in estate.wanted("vm"):
        disks = {str(disk.diskPath): disk for disk in thing.properties.get("guest.disk") or ()}
        for path, disk in disks.items():
            size.add(known | {"path": path}, disk.capacity)
            free.add(known | {"path": path}, disk.freeSpace)
    yield size
    yield free
