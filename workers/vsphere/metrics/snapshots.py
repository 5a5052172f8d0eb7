"""Snapshots of virtual machines: how many there are, and since when there is the oldest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from workers.vsphere.metrics.estate import Estate
from workers.vsphere.metrics.families import PREFIX, Family
from workers.vsphere.metrics.measures import LABELS

PATHS = ("snapshot",)


def snapshots(estate: Estate) -> Iterator[Family]:
    """Yield the families of snapshots."""
    labels = LABELS["vm"]
    count = Family(f"{PREFIX}vm_snapshots", "Snapshots of the virtual machine.", labels)
    taken = Family(
        f"{PREFIX}vm_snapshot_oldest_timestamp_seconds",
        "When the oldest snapshot was taken, in seconds since 1970.",
        labels,
        "seconds",
    )
    for thing, known in estate.wanted("vm"):
        times = list(_times(thing.properties.get("snapshot")))
        count.add(known, len(times))
        if times:
            taken.add(known, min(times))
    yield from (count, taken)


def _times(info: Any) -> Iterator[float]:
    """Yield when each snapshot was taken; they are a tree of any depth."""
    left = list(info.rootSnapshotList) if info is not None else []
    while left:
        snapshot = left.pop()
        yield float(snapshot.createTime.timestamp())
        left.extend(snapshot.childSnapshotList)
