"""What a request names: each way to name objects, and how an index is asked for them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from workers.vsphere.inventory.collector import Row
from workers.vsphere.inventory.index import Match, NameIndex
from workers.vsphere.inventory.kinds import Kind
from workers.vsphere.inventory.names import (
    as_uuid,
    is_path,
    is_pattern,
    matcher,
    referred,
    spellings,
)
from workers.vsphere.inventory.whereabouts import last_name, normal


class Term(msgspec.Struct, frozen=True):
    """A name, an id or a UUID. Base of the other ways."""

    text: str

    def match(self, kind: Kind, index: NameIndex, /) -> Match:
        """Return the objects that ``index`` knows by this."""
        found = index.exact(kind, spellings(self.text), kind.keys)
        uuid = as_uuid(self.text)
        return found if found or not uuid else index.exact(kind, (uuid,), kind.uuids)

    def accepts(self, row: Row, keys: tuple[str, ...]) -> bool:
        """Say whether the object still is what was looked for, by the properties ``keys``.

        An object that was found without any is what it is.
        """
        if not keys or row.managed._moId == self.text:
            return True
        return any(self._fits(value) for value in map(row.properties.get, keys) if value)

    def _fits(self, value: str) -> bool:
        return value in spellings(self.text) or value == as_uuid(self.text)


class Reference(Term, frozen=True):
    """A reference: says by itself which object it means."""

    managed: Any

    def match(self, _: Kind, __: NameIndex, /) -> Match:
        return Match([self.managed])


class Path(Term, frozen=True):
    """An inventory path. Finds what has its last name; is checked by where that is.

    The URL of a datastore may look like one.
    """

    def match(self, kind: Kind, index: NameIndex, /) -> Match:
        return super().match(kind, index) or index.exact(
            kind, spellings(last_name(self.text)), ("name",)
        )

    def accepts(self, row: Row, keys: tuple[str, ...]) -> bool:
        """Say whether the object is at this path, or is the datastore with this URL."""
        if keys == ("name",):
            return row.place == normal(self.text)
        return super().accepts(row, keys)


class Pattern(Term, frozen=True):
    """A pattern for names; or a name, where there is one with such characters."""

    def match(self, kind: Kind, index: NameIndex, /) -> Match:
        return super().match(kind, index) or index.fitting(kind, self._matcher)

    def _fits(self, value: str) -> bool:
        return super()._fits(value) or self._matcher(value)

    @property
    def _matcher(self) -> Callable[[str], bool]:
        return matcher(self.text)


def term(kind: Kind, text: str, *, patterns: bool = False) -> Term:
    """Return what ``text`` says about an object of ``kind``; a pattern only if it may."""
    managed = referred(kind, text)
    if managed is not None:
        return Reference(text, managed)
    if is_path(text):
        return Path(text)
    return Pattern(text) if patterns and is_pattern(text) else Term(text)
