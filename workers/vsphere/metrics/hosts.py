"""ESXi hosts: what is measured of them."""

from __future__ import annotations

from collections.abc import Iterator

from workers.vsphere.metrics.estate import Estate
from workers.vsphere.metrics.families import PREFIX, Family
from workers.vsphere.metrics.measures import (
    LABELS,
    MEGA,
    MIB,
    Measure,
    Properties,
    at,
    is_so,
    measured,
    timestamp,
)

BASE = ("name", "parent")

PATHS = (
    *BASE,
    "runtime.connectionState",
    "runtime.inMaintenanceMode",
    "runtime.bootTime",
    "summary.quickStats",
    "summary.hardware.vendor",
    "summary.hardware.model",
    "summary.hardware.cpuMhz",
    "summary.hardware.numCpuCores",
    "summary.hardware.numCpuThreads",
    "summary.hardware.memorySize",
    "summary.config.product.version",
    "summary.config.product.build",
)

_STATS = "summary.quickStats"

#: The labels of ``vsphere_host_info``, and the properties that they are.
_ABOUT = {
    "version": "summary.config.product.version",
    "build": "summary.config.product.build",
    "vendor": "summary.hardware.vendor",
    "model": "summary.hardware.model",
}


def _cpu_capacity(properties: Properties) -> float | None:
    speed = properties.get("summary.hardware.cpuMhz")
    cores = properties.get("summary.hardware.numCpuCores")
    return None if speed is None or cores is None else float(speed) * MEGA * cores


MEASURES = (
    Measure(
        "host_connected",
        "Whether the vCenter is connected to the host.",
        is_so("runtime.connectionState", word="connected"),
    ),
    Measure(
        "host_in_maintenance_mode",
        "Whether the host is in maintenance mode.",
        at("runtime.inMaintenanceMode"),
    ),
    Measure(
        "host_cpu_cores", "Cores of the host's processors.", at("summary.hardware.numCpuCores")
    ),
    Measure(
        "host_cpu_threads",
        "Threads of the host's processors.",
        at("summary.hardware.numCpuThreads"),
    ),
    Measure("host_cpu_capacity_hertz", "Speed of all cores of the host.", _cpu_capacity, "hertz"),
    Measure(
        "host_cpu_usage_hertz",
        "Processor use of the host.",
        at(_STATS, "overallCpuUsage", times=MEGA),
        "hertz",
    ),
    Measure(
        "host_memory_size_bytes", "Memory of the host.", at("summary.hardware.memorySize"), "bytes"
    ),
    Measure(
        "host_memory_usage_bytes",
        "Memory of the host that is in use.",
        at(_STATS, "overallMemoryUsage", times=MIB),
        "bytes",
    ),
    Measure(
        "host_boot_timestamp_seconds",
        "When the host was started, in seconds since 1970.",
        timestamp("runtime.bootTime"),
        "seconds",
    ),
)


def hosts(estate: Estate) -> Iterator[Family]:
    """Yield the families of hosts."""
    about = Family(
        f"{PREFIX}host_info",
        "What the host is; always 1.",
        (*LABELS["host"], *_ABOUT),
        type="info",
    )
    for thing, labels in estate.wanted("host"):
        told = {label: str(thing.properties.get(path) or "") for label, path in _ABOUT.items()}
        about.add(labels | told, 1)
    yield about
    yield from measured(estate, "host", MEASURES)
