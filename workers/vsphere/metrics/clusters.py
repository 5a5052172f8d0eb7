"""Clusters: their hosts' capacity, and the virtual machines on them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from workers.vsphere.metrics.estate import Estate
from workers.vsphere.metrics.families import PREFIX, Family
from workers.vsphere.metrics.measures import LABELS, MEGA, MIB, Measure, at, measured

BASE = ("name", "parent")
PATHS = (*BASE, "summary")

#: Power states as a label has them, by the API's words.
_STATES = {"poweredOn": "on", "poweredOff": "off", "suspended": "suspended"}

MEASURES = (
    Measure("cluster_hosts", "Hosts in the cluster.", at("summary", "numHosts")),
    Measure(
        "cluster_effective_hosts",
        "Hosts that run virtual machines: connected, and not in maintenance mode.",
        at("summary", "numEffectiveHosts"),
    ),
    Measure(
        "cluster_cpu_capacity_hertz",
        "Speed of all cores of all hosts of the cluster.",
        at("summary", "totalCpu", times=MEGA),
        "hertz",
    ),
    Measure(
        "cluster_cpu_effective_hertz",
        "Speed of the cores that virtual machines can use.",
        at("summary", "effectiveCpu", times=MEGA),
        "hertz",
    ),
    Measure(
        "cluster_memory_size_bytes",
        "Memory of all hosts of the cluster.",
        at("summary", "totalMemory"),
        "bytes",
    ),
    Measure(
        "cluster_memory_effective_bytes",
        "Memory that virtual machines can use.",
        at("summary", "effectiveMemory", times=MIB),
        "bytes",
    ),
)


def clusters(estate: Estate) -> Iterator[Family]:
    """Yield the families of clusters."""
    yield from measured(estate, "cluster", MEASURES)
    yield _machines(estate)


def _machines(estate: Estate) -> Family:
    family = Family(
        f"{PREFIX}cluster_vms",
        "Virtual machines on the cluster's hosts, by power state.",
        (*LABELS["cluster"], "state"),
    )
    counts: Counter[tuple[str, str]] = Counter()
    for machine in estate.all("vm").values():
        cluster = estate.cluster_of(estate.host_of(machine))
        state = _STATES.get(str(machine.properties.get("runtime.powerState")))
        if cluster and state:
            counts[cluster.id, state] += 1
    for thing, labels in estate.wanted("cluster"):
        for state in _STATES.values():
            family.add(labels | {"state": state}, counts[thing.id, state])
    return family
