"""The counters of the PerformanceManager that become metrics."""

from __future__ import annotations

import msgspec

from workers.vsphere.metrics.measures import KIB
from workers.vsphere.perf.intervals import REALTIME_SECONDS

_PERCENT = 1 / 10_000
_MILLISECONDS = 1 / 1000


class Counter(msgspec.Struct, frozen=True):
    """A counter of the API's, and the metric that it becomes."""

    #: Group, name and rollup.
    key: str
    name: str
    help: str
    unit: str
    #: Makes base units of the API's.
    times: float


def _io(kind: str) -> tuple[Counter, ...]:
    """Return what both machines and hosts have."""
    rates = (
        ("disk.read.average", "disk_read", "Bytes read from all disks."),
        ("disk.write.average", "disk_write", "Bytes written to all disks."),
        ("net.received.average", "network_receive", "Bytes received from networks."),
        ("net.transmitted.average", "network_transmit", "Bytes sent to networks."),
    )
    unit = "bytes_per_second"
    return (
        *(Counter(key, f"{kind}_{name}_{unit}", text, unit, KIB) for key, name, text in rates),
        Counter(
            "disk.maxTotalLatency.latest",
            f"{kind}_disk_latency_seconds",
            "Highest latency of all disks.",
            "seconds",
            _MILLISECONDS,
        ),
    )


#: What is asked for, by collector and kind.
COUNTERS: dict[str, dict[str, tuple[Counter, ...]]] = {
    "realtime": {
        "host": (
            Counter(
                "cpu.usage.average",
                "host_cpu_usage_ratio",
                "Processor use of the host, of its capacity.",
                "ratio",
                _PERCENT,
            ),
            *_io("host"),
        ),
        "vm": (
            Counter(
                "cpu.usage.average",
                "vm_cpu_usage_ratio",
                "Processor use of the virtual machine, of its virtual processors.",
                "ratio",
                _PERCENT,
            ),
            Counter(
                "cpu.ready.summation",
                "vm_cpu_ready_ratio",
                "Time waited for real processors, summed over virtual ones; at most 1 for each.",
                "ratio",
                _MILLISECONDS / REALTIME_SECONDS,
            ),
            *_io("vm"),
        ),
    },
    "historical": {
        "cluster": (
            Counter(
                "cpu.usage.average",
                "cluster_cpu_usage_ratio",
                "Processor use of the cluster, of its capacity.",
                "ratio",
                _PERCENT,
            ),
            Counter(
                "mem.usage.average",
                "cluster_memory_usage_ratio",
                "Memory of the cluster that is in use, of its capacity.",
                "ratio",
                _PERCENT,
            ),
        ),
        "datastore": (
            Counter(
                "disk.used.latest",
                "datastore_used_bytes",
                "Space that is used on the datastore, as the statistics have it.",
                "bytes",
                KIB,
            ),
            Counter(
                "disk.provisioned.latest",
                "datastore_provisioned_bytes",
                "Space that virtual machines may come to take on the datastore.",
                "bytes",
                KIB,
            ),
        ),
    },
}
