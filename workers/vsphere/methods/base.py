"""What all of the agent's methods share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from vpoller_like.agent import Agent
from workers.vsphere.encode import reference
from workers.vsphere.inventory.collector import Relation, Row, collect
from workers.vsphere.inventory.inventory import unique
from workers.vsphere.inventory.kinds import Kind
from workers.vsphere.inventory.names import referred
from workers.vsphere.params import Get, Named
from workers.vsphere.session.login import Login
from workers.vsphere.vcenter import Rows, VCenter

DISCOVERED = "Successfully discovered objects"
RETRIEVED = "Successfully retrieved object properties"

#: Seconds; listing a large inventory takes a vCenter a while.
DISCOVER_TIMEOUT = 120.0

#: Of one object what is told of it; of several a list of that.
OneOrMore = dict[str, Any] | Rows


class Methods(Agent):
    """Base of the agent's parts, each of which has the tasks of one subject."""

    vcenter: VCenter

    def _discover(self, kind: Kind, properties: Sequence[str]) -> Rows:
        return self.vcenter.discover(kind, ["name", *properties])

    def _get(self, kind: Kind, msg: Get, *always: str) -> Rows:
        paths = ["name", *always, *msg.properties]
        return [row.properties for row in self._rows(kind, msg, paths)]

    def _rows(
        self, kind: Kind, msg: Named, paths: Sequence[str], relation: Relation | None = None
    ) -> list[Row]:
        """Return the rows of what ``msg`` names: one, or several where it has ``names``."""
        asked = unique(paths)
        return self.vcenter.run(lambda login: self.vcenter.named(login, kind, msg, asked, relation))

    def _nested(self, kind: Kind, msg: Named, relation: Relation, key: str) -> OneOrMore:
        """Return the name of what ``msg`` names, and under ``key`` what it is related to."""
        rows = self._rows(kind, msg, ["name"], relation)
        told = [
            {**row.properties, key: [other.properties for other in row.related]} for row in rows
        ]
        return told if msg.is_bulk else told[0]

    def _related(self, kind: Kind, msg: Named, relation: Relation, key: str) -> Rows:
        """Return what the named object is related to; of several as :meth:`_nested`."""
        told = self._nested(kind, msg, relation, key)
        return told if isinstance(told, list) else told[key]

    def _led_to(
        self, kind: Kind, msg: Named, path: str, other: Kind
    ) -> list[tuple[str, list[str]]]:
        """Return the name of each object named, and the names of those of the kind ``other``
        whose references are somewhere in its property ``path``.

        For properties that are no plain references, which cannot be read along. Takes a call
        more than reading the objects themselves.
        """

        def work(login: Login) -> list[tuple[str, list[str]]]:
            rows = self.vcenter.named(login, kind, msg, ["name", path])
            held = [_references(row.properties[path], other) for row in rows]
            others = {reference(each): each for found in held for each in found}
            named = collect(login, other.type, ["name"], list(others.values()))
            names = {reference(row.managed): row.properties["name"] for row in named}
            return [
                (
                    row.properties["name"],
                    [names[each] for each in map(reference, found) if each in names],
                )
                for row, found in zip(rows, held, strict=True)
            ]

        return self.vcenter.run(work)


def _references(value: Any, kind: Kind) -> list[Any]:
    """Return the objects of ``kind`` that an encoded value refers to, at any depth."""
    if isinstance(value, str):
        managed = referred(kind, value)
        return [] if managed is None else [managed]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [managed for part in parts for managed in _references(part, kind)]
