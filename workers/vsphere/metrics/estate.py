"""A vCenter's objects at one moment, and where each of them belongs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any

import msgspec

Labels = dict[str, str]

#: Kinds whose objects have metrics, by the words that filters and labels use.
KINDS = ("vm", "host", "cluster", "datastore", "datacenter")


class Thing(msgspec.Struct, frozen=True):
    """One object: its id and those of its properties that were read, as pyVmomi has them."""

    id: str
    properties: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Return its name; its id where the name may not be read."""
        return str(self.properties.get("name") or self.id)


class Filters(msgspec.Struct, frozen=True):
    """Which objects are wanted: ``vm:db*`` names a kind, and a pattern for names.

    Of a kind without a pattern in ``include`` all are; of these, without those in ``exclude``.
    """

    include: list[str] = []
    exclude: list[str] = []

    def admit(self, kind: str, name: str) -> bool:
        """Say whether the object is wanted."""
        wanted = _patterns(self.include, kind)
        if wanted and not any(fnmatchcase(name, pattern) for pattern in wanted):
            return False
        return not any(fnmatchcase(name, pattern) for pattern in _patterns(self.exclude, kind))


class Estate:
    """All objects that were read, by their kind and id.

    ``things`` has besides :data:`KINDS` the kinds ``compute``, hosts that are in no cluster,
    and ``folder``, which are only the way from an object to its datacenter.
    """

    def __init__(self, things: Mapping[str, Mapping[str, Thing]], filters: Filters) -> None:
        self._things = things
        self._filters = filters

    def all(self, kind: str) -> Mapping[str, Thing]:
        """Return the objects of a kind, those that are not wanted too."""
        return self._things.get(kind, {})

    def wanted(self, kind: str) -> Iterator[tuple[Thing, Labels]]:
        """Yield each wanted object of a kind, and the labels that identify it."""
        for thing in self.all(kind).values():
            if self._filters.admit(kind, thing.name):
                yield thing, self.labels(kind, thing)

    def admits(self, kind: str, name: str) -> bool:
        """Say whether objects of this kind and name are wanted."""
        return self._filters.admit(kind, name)

    def labels(self, kind: str, thing: Thing) -> Labels:
        """Return what identifies an object, wherever it moves in its cluster."""
        labels = {kind: thing.name, "moref": thing.id}
        if kind == "vm":
            host = self.host_of(thing)
            return labels | (self._place(host) if host else {"cluster": "", "datacenter": ""})
        if kind == "host":
            return labels | self._place(thing)
        return labels | {"datacenter": self._datacenter(thing)}

    def host_of(self, machine: Thing) -> Thing | None:
        """Return the host that a virtual machine is on."""
        return self.all("host").get(_id(machine.properties.get("runtime.host")))

    def cluster_of(self, host: Thing | None) -> Thing | None:
        """Return the cluster that a host is in."""
        return self.all("cluster").get(_id(host.properties.get("parent"))) if host else None

    def _place(self, host: Thing) -> Labels:
        cluster = self.cluster_of(host)
        return {"cluster": cluster.name if cluster else "", "datacenter": self._datacenter(host)}

    def _datacenter(self, thing: Thing) -> str:
        seen: set[str] = set()
        parent = _id(thing.properties.get("parent"))
        while parent and parent not in seen:
            seen.add(parent)
            if datacenter := self.all("datacenter").get(parent):
                return datacenter.name
            above = next((found for kind in _WAY if (found := self.all(kind).get(parent))), None)
            parent = _id(above.properties.get("parent")) if above else ""
        return ""


#: Kinds of objects between a host or datastore and its datacenter.
_WAY = ("folder", "cluster", "compute")


def _id(managed: Any) -> str:
    return str(managed._moId) if managed is not None else ""


def _patterns(filters: list[str], kind: str) -> list[str]:
    return [text.partition(":")[2] for text in filters if text.startswith(f"{kind}:")]
