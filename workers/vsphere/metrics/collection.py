"""Collecting metrics: one reading of the inventory, and what each collector makes of it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from vpoller_like.errors import RequestError
from workers.vsphere.metrics import clusters, datastores, hosts, machines, performance, snapshots
from workers.vsphere.metrics.alarms import alarms
from workers.vsphere.metrics.estate import KINDS, Estate, Filters
from workers.vsphere.metrics.families import PREFIX, Family
from workers.vsphere.metrics.params import CollectMetrics
from workers.vsphere.metrics.reading import Read, names_of, read
from workers.vsphere.vcenter import VCenter
from workers.vsphere.vmomi import vim

#: What leads to each object's name and place, whatever is collected.
_BASE: dict[str, Sequence[str]] = {
    "vm": machines.BASE,
    "host": hosts.BASE,
    "cluster": clusters.BASE,
    "compute": ("name", "parent"),
    "datastore": datastores.BASE,
    "datacenter": ("name",),
    "folder": ("parent",),
}

#: What the collectors need besides.
_MORE: dict[str, Mapping[str, Sequence[str]]] = {
    "inventory": {
        "vm": machines.PATHS,
        "host": hosts.PATHS,
        "cluster": clusters.PATHS,
        "datastore": datastores.PATHS,
    },
    "snapshots": {"vm": snapshots.PATHS},
    "realtime": performance.LIVE,
}

Make = Callable[[], Iterable[Family]]


class Collection:
    """Collects the metrics of one vCenter."""

    def __init__(self, vcenter: VCenter) -> None:
        self._vcenter = vcenter

    def collect(self, wanted: CollectMetrics) -> list[Family]:
        """Return the families of the collectors that are wanted.

        A collector that fails is told of by a family; the others go on. Raises
        ``TaskFailed`` where the inventory cannot be read.
        """
        started = time.monotonic()
        found = self._read(wanted.collect)
        seconds = time.monotonic() - started
        estate = Estate(found.things, Filters(wanted.include, wanted.exclude))
        makers: dict[str, Make] = {
            "inventory": lambda: _inventory(estate),
            "snapshots": lambda: snapshots.snapshots(estate),
            "alarms": lambda: self._alarms(estate, found.alarms),
            "realtime": lambda: self._figures(estate, "realtime"),
            "historical": lambda: self._figures(estate, "historical"),
        }
        report = _Report(seconds)
        for name in dict.fromkeys(wanted.collect):
            report.run(name, makers[name])
        return report.families()

    def _read(self, collectors: Sequence[str]) -> Read:
        paths = {kind: dict.fromkeys(base) for kind, base in _BASE.items()}
        for collector in collectors:
            for kind, more in _MORE.get(collector, {}).items():
                paths[kind] |= dict.fromkeys(more)
        asked = {kind: list(wanted) for kind, wanted in paths.items()}
        return self._vcenter.run(lambda login: read(login, asked, "alarms" in collectors))

    def _alarms(self, estate: Estate, states: list[Any] | None) -> Iterator[Family]:
        definitions = {str(each.alarm._moId): each.alarm for each in states or ()}
        names: dict[str, str] = {}
        if definitions:
            kind, managed = vim.alarm.Alarm, list(definitions.values())
            names = self._vcenter.run(lambda login: names_of(login, kind, managed, "info.name"))
        return alarms(estate, states, names)

    def _figures(self, estate: Estate, collector: str) -> list[Family]:
        return self._vcenter.run(lambda login: performance.figures(login, estate, collector))


def _inventory(estate: Estate) -> Iterator[Family]:
    objects = Family(f"{PREFIX}objects", "Objects in the inventory, filtered or not.", ("kind",))
    for kind in KINDS:
        objects.add({"kind": kind}, len(estate.all(kind)))
    yield objects
    yield from hosts.hosts(estate)
    yield from clusters.clusters(estate)
    yield from datastores.datastores(estate)
    yield from machines.machines(estate)


class _Report:
    """What the collectors made, and how they fared. ``seconds`` is what the reading took."""

    def __init__(self, seconds: float) -> None:
        self._made: list[Family] = []
        self._reading = Family(
            f"{PREFIX}read_duration_seconds",
            "Time that reading the inventory took, for all collectors.",
            unit="seconds",
        )
        self._reading.add({}, seconds)
        labels = ("collector",)
        self._success = Family(
            f"{PREFIX}collector_success", "Whether the collector has told what it could.", labels
        )
        self._seconds = Family(
            f"{PREFIX}collector_duration_seconds",
            "Time that the collector took beyond reading the inventory.",
            labels,
            "seconds",
        )
        self._errors = Family(
            f"{PREFIX}collector_error",
            "1, with the reason, where the collector failed.",
            (*labels, "reason"),
        )

    def run(self, name: str, make: Make) -> None:
        """Let a collector make its families."""
        started, failure = time.monotonic(), None
        try:
            self._made += make()
        except RequestError as error:
            failure = str(error.details.get("reason") or error.code)
            self._errors.add({"collector": name, "reason": failure}, 1)
        self._success.add({"collector": name}, 0 if failure else 1)
        self._seconds.add({"collector": name}, time.monotonic() - started)

    def families(self) -> list[Family]:
        """Return all families."""
        return [*self._made, self._reading, self._success, self._seconds, self._errors]
