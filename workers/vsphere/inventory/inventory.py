"""The inventory: listing the objects of a kind, and finding one, or many, by name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from vpoller_like.errors import TaskFailed
from workers.vsphere.encode import reference
from workers.vsphere.inventory.collector import Relation, Row, collect, collect_all
from workers.vsphere.inventory.index import Match, NameIndex
from workers.vsphere.inventory.kinds import Kind
from workers.vsphere.inventory.memory import Names
from workers.vsphere.inventory.terms import Path, Pattern, Reference, Term, term
from workers.vsphere.session.login import Login

#: Candidates that an error about an ambiguous name lists.
_LISTED = 10


class Query(msgspec.Struct, frozen=True):
    """What to read of the objects that are found."""

    login: Login
    kind: Kind
    paths: tuple[str, ...]
    relation: Relation | None = None

    def rows(self, matches: Iterable[Match], *, placed: bool) -> list[Row]:
        """Return the rows, with their keys, of all matched objects that are still there."""
        managed = {reference(each): each for match in matches for each in match.managed}
        paths = unique([*self.paths, *(key for match in matches for key in match.keys)])
        objects = list(managed.values())
        return collect(self.login, self.kind.type, paths, objects, self.relation, placed=placed)

    def trimmed(self, row: Row) -> Row:
        """Return ``row`` with no more than what was asked for."""
        asked = {path: row.properties[path] for path in self.paths}
        return msgspec.structs.replace(row, properties=asked)


class Inventory:
    """The objects of one vCenter.

    Names are looked up in an index that follows the vCenter, of ``max_names`` objects at
    most; with more, or with 0, each look-up by name asks the vCenter for the names, which is
    one call more. What the index knows is checked in the call that reads the properties, and
    what it does not know is asked of the vCenter before it is told to be missing.
    """

    def __init__(self, max_names: int) -> None:
        self._names = Names(max_names)

    def discover(self, login: Login, kind: Kind, paths: Sequence[str]) -> list[dict[str, Any]]:
        """Return the properties ``paths`` of every object; takes one call.

        What may not be read is ``None``. Raises ``InvalidParams`` for an unknown path.
        """
        return [row.properties for row in collect_all(login, kind.type, paths)]

    def find(
        self,
        login: Login,
        kind: Kind,
        name: str,
        paths: Sequence[str] = (),
        relation: Relation | None = None,
    ) -> Row:
        """Return the properties ``paths`` of the object that ``name`` means.

        ``name`` is a reference (``VirtualMachine:vm-42``), an inventory path, an id
        (``vm-42``), a UUID, or the object's name, escaped or not. Takes one call when the
        name is known, and three at most. Raises ``TaskFailed`` with the reason ``not_found``,
        ``ambiguous`` or ``no_permission``, and ``InvalidParams`` for an unknown path.
        """
        query = Query(login, kind, tuple(paths), relation)
        (rows,) = self._search(query, [term(kind, name)])
        row = _only(query, name, rows)
        asked = {*paths, relation.path} if relation else paths
        refuse_denied(name, {path: why for path, why in row.denied.items() if path in asked})
        return row

    def find_many(
        self,
        login: Login,
        kind: Kind,
        names: Sequence[str],
        paths: Sequence[str] = (),
        relation: Relation | None = None,
    ) -> list[Row]:
        """Return a row for each object that any of ``names`` means, each object once.

        Beside what :meth:`find` takes, a name may be a pattern (``web-*``); one that fits
        nothing is no error. Takes as many calls as :meth:`find`, however many names there
        are. What may not be read is ``None``. Raises as :meth:`find` does; ``not_found`` has
        the ``names`` of all that were not found.
        """
        query = Query(login, kind, tuple(paths), relation)
        terms = [term(kind, name, patterns=True) for name in unique(names)]
        found = self._search(query, terms)
        meant = [
            each for each in zip(terms, found, strict=True) if not isinstance(each[0], Pattern)
        ]
        missing = [each.text for each, rows in meant if not rows]
        if missing:
            raise not_found(kind, missing)
        for each, rows in meant:
            _only(query, each.text, rows)
        return list({reference(row.managed): row for rows in found for row in rows}.values())

    def known(self, login: Login, kind: Kind, name: str) -> Any:
        """Return the object that the index knows by ``name``; takes no call.

        ``None`` where it knows none, or several, or must ask, as for an inventory path. It
        may have been renamed or removed a moment ago.
        """
        index, asked = self._names.known(login), term(kind, name)
        if index is None or isinstance(asked, Path):
            return None
        found = asked.match(kind, index).managed
        return found[0] if len(found) == 1 else None

    def close(self) -> None:
        """Stop following the vCenter; the next look-up by name begins anew."""
        self._names.close()

    def _search(self, query: Query, terms: Sequence[Term]) -> list[list[Row]]:
        """Return the rows that each of ``terms`` means."""
        if all(isinstance(each, Reference) for each in terms):
            return _look(query, terms, NameIndex(0))
        known = self._names.known(query.login)
        if known is None:
            return _look(query, terms, self._names.asked(query.login, query.kind))
        found = _look(query, terms, known)
        missing = [at for at, rows in enumerate(found) if not rows and _may_be_new(terms[at])]
        if missing:
            asked = self._names.asked(query.login, query.kind)
            again = _look(query, [terms[at] for at in missing], asked)
            for at, rows in zip(missing, again, strict=True):
                found[at] = rows
        return found


def _look(query: Query, terms: Sequence[Term], index: NameIndex) -> list[list[Row]]:
    """Return the rows that each of ``terms`` means by what ``index`` knows."""
    matches = [each.match(query.kind, index) for each in terms]
    placed = any(isinstance(each, Path) for each in terms)
    rows = {reference(row.managed): row for row in query.rows(matches, placed=placed)}
    return [
        [
            query.trimmed(row)
            for managed in match.managed
            if (row := rows.get(reference(managed))) and each.accepts(row, match.keys)
        ]
        for each, match in zip(terms, matches, strict=True)
    ]


def _may_be_new(each: Term) -> bool:
    """Say whether the vCenter may know of it what the index has not heard yet."""
    return not isinstance(each, Reference | Pattern)


def _only(query: Query, name: str, rows: list[Row]) -> Row:
    if not rows:
        raise not_found(query.kind, [name])
    if len(rows) > 1:
        raise _ambiguous(query, name, [row.managed for row in rows])
    return rows[0]


def unique(paths: Iterable[str]) -> list[str]:
    """Return ``paths`` in their order, each of them once."""
    return list(dict.fromkeys(paths))


def not_found(kind: Kind, names: Sequence[str]) -> TaskFailed:
    """Return the error that no object of ``kind`` has any of ``names``."""
    listed = ", ".join(names[:_LISTED]) + (", ..." if len(names) > _LISTED else "")
    word = "object" if len(names) == 1 else "objects"
    return TaskFailed(
        f"Cannot find {word} {listed}", reason="not_found", kind=kind.label, names=list(names)
    )


def _ambiguous(query: Query, name: str, managed: list[Any]) -> TaskFailed:
    candidates = [reference(each) for each in managed]
    rows = collect(query.login, query.kind.type, ["name"], managed[:_LISTED], placed=True)
    places = {reference(row.managed): row.place for row in rows}
    told = [
        f"{each} at {places[each]}" if each in places else each for each in candidates[:_LISTED]
    ]
    listed = ", ".join(told) + (", ..." if len(candidates) > _LISTED else "")
    return TaskFailed(
        f"{len(candidates)} objects of type {query.kind.label} are named {name} ({listed}); "
        "give one of these references or paths as the name",
        reason="ambiguous",
        candidates=candidates,
        paths=[places.get(each) for each in candidates],
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
