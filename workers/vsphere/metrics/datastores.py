"""Datastores: what is measured of them."""

from __future__ import annotations

from collections.abc import Iterator

from workers.vsphere.metrics.estate import Estate
from workers.vsphere.metrics.families import PREFIX, Family
from workers.vsphere.metrics.measures import LABELS, Measure, Properties, at, is_so, measured

BASE = ("name", "parent")
PATHS = (*BASE, "summary")

_is_normal = is_so("summary", "maintenanceMode", word="normal")


def _in_maintenance(properties: Properties) -> float | None:
    normal = _is_normal(properties)
    return None if normal is None else 1.0 - normal


MEASURES = (
    Measure(
        "datastore_accessible",
        "Whether the datastore can be reached; the sizes are old ones where it cannot.",
        at("summary", "accessible"),
    ),
    Measure(
        "datastore_in_maintenance_mode",
        "Whether the datastore is in maintenance mode, or going into it.",
        _in_maintenance,
    ),
    Measure(
        "datastore_capacity_bytes", "Size of the datastore.", at("summary", "capacity"), "bytes"
    ),
    Measure(
        "datastore_free_bytes", "Free space on the datastore.", at("summary", "freeSpace"), "bytes"
    ),
    Measure(
        "datastore_uncommitted_bytes",
        "Further space that virtual machines' disks may grow to take.",
        at("summary", "uncommitted"),
        "bytes",
    ),
)


def datastores(estate: Estate) -> Iterator[Family]:
    """Yield the families of datastores."""
    about = Family(
        f"{PREFIX}datastore_info",
        "What the datastore is; always 1.",
        (*LABELS["datastore"], "type", "url"),
        type="info",
    )
    for thing, labels in estate.wanted("datastore"):
        summary = thing.properties.get("summary")
        if summary is not None:
            about.add(labels | {"type": str(summary.type), "url": str(summary.url or "")}, 1)
    yield about
    yield from measured(estate, "datastore", MEASURES)
