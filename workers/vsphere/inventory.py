"""The inventory: listing the objects of a kind, and finding one by its name."""

from __future__ import annotations

import re
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from vpoller_like.errors import TaskFailed
from workers.vsphere.collector import Row, collect, collect_all
from workers.vsphere.encode import reference
from workers.vsphere.index import NameIndex, Names, Snapshot
from workers.vsphere.kinds import Kind
from workers.vsphere.login import Login

_REFERENCE = re.compile(r"(?P<type>[A-Za-z]+):(?P<id>\S+)")

#: Candidates that an error about an ambiguous name lists.
_LISTED = 10


class Inventory:
    """The objects of one vCenter.

    ``name_age``: for so many seconds a name is taken to mean the same objects as before,
    while these still have it. ``clock`` returns seconds, monotonic.
    """

    def __init__(self, name_age: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._indexes: defaultdict[Kind, NameIndex] = defaultdict(
            lambda: NameIndex(name_age, clock)
        )

    def discover(self, login: Login, kind: Kind, paths: Sequence[str]) -> list[dict[str, Any]]:
        """Return the properties ``paths`` of every object; takes one call.

        What may not be read is ``None``. Raises ``InvalidParams`` for an unknown path.
        """
        return [row.properties for row in collect_all(login, kind.type, paths)]

    def get(self, login: Login, kind: Kind, name: str, paths: Sequence[str]) -> dict[str, Any]:
        """Return the properties ``paths`` of the object ``name``, or of that reference.

        Takes one call while the name is known, two when names have to be loaded, and three
        when what is known proves outdated. Raises ``TaskFailed`` with the reason
        ``not_found``, ``ambiguous`` or ``no_permission``, and ``InvalidParams`` for an
        unknown path.
        """
        row = self._one(kind, name, self._rows(login, kind, name, paths))
        refuse_denied(name, {path: why for path, why in row.denied.items() if path in paths})
        return {path: row.properties[path] for path in paths}

    def _rows(self, login: Login, kind: Kind, name: str, paths: Sequence[str]) -> list[Row]:
        referred = _REFERENCE.fullmatch(name)
        if referred and referred["type"] == kind.label:
            return collect(login, kind.type, paths, [kind.type(referred["id"])])
        return self._named(login, kind, name, paths)

    def _named(self, login: Login, kind: Kind, name: str, paths: Sequence[str]) -> list[Row]:
        index, started = self._indexes[kind], self._clock()

        def load() -> Names:
            return _load_names(login, kind)

        known = index.snapshot(load)
        rows = _still_named(login, kind, name, paths, known)
        if rows or known.taken >= started:
            return rows
        return _still_named(login, kind, name, paths, index.newer(known.taken, load))

    def _one(self, kind: Kind, name: str, rows: list[Row]) -> Row:
        if not rows:
            raise TaskFailed(f"Cannot find object {name}", reason="not_found", kind=kind.label)
        if len(rows) > 1:
            raise _ambiguous(kind, name, [reference(row.managed) for row in rows])
        return rows[0]


def _load_names(login: Login, kind: Kind) -> Names:
    names: dict[str, dict[str, list[str]]] = {key: defaultdict(list) for key in kind.keys}
    for row in collect_all(login, kind.type, kind.keys):
        for key in kind.keys:
            names[key][row.properties[key]].append(row.managed._moId)
    return names


def _still_named(
    login: Login, kind: Kind, name: str, paths: Sequence[str], known: Snapshot
) -> list[Row]:
    """Return the objects that had the name when ``known`` was taken, and have it now."""
    managed = [kind.type(each) for each in known.ids(kind.keys, name)]
    if not managed:
        return []
    rows = collect(login, kind.type, unique([*kind.keys, *paths]), managed)
    return [row for row in rows if name in (row.properties[key] for key in kind.keys)]


def unique(paths: Iterable[str]) -> list[str]:
    """Return ``paths`` in their order, each of them once."""
    return list(dict.fromkeys(paths))


def _ambiguous(kind: Kind, name: str, candidates: list[str]) -> TaskFailed:
    listed = ", ".join(candidates[:_LISTED]) + (", ..." if len(candidates) > _LISTED else "")
    return TaskFailed(
        f"{len(candidates)} objects of type {kind.label} are named {name} ({listed}); "
        "give one of these references as the name",
        reason="ambiguous",
        candidates=candidates,
    )


def refuse_denied(name: str, denied: Mapping[str, str]) -> None:
    """Raise ``TaskFailed`` if anything of the object ``name`` was denied."""
    if denied:
        raise TaskFailed(
            f"{', '.join(denied)} of {name} may not be read ({', '.join(set(denied.values()))}); "
            "give the user the right to, or leave it out",
            reason="no_permission",
            properties=list(denied),
        )
