"""What Zabbix wants of each method: one value, or the rows of a discovery."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from workers.vsphere.helpers.lld import discovery, macros
from workers.vsphere.helpers.text import Row, as_text, flat, rows_of

Given = Mapping[str, Any]


class Shape(msgspec.Struct, frozen=True):
    """One way to write a result."""

    def write(self, method: str, given: Given, result: Any) -> str:
        """Return the text for ``result`` of ``method``, called with the parameters ``given``."""
        raise NotImplementedError


class Whole(Shape, frozen=True):
    """The result as it is, for items whose preprocessing takes it apart."""

    def write(self, method: str, given: Given, result: Any) -> str:  # noqa: ARG002
        """Return JSON, or a text as it is."""
        return as_text(result)


class Value(Shape, frozen=True):
    """One property, the first one asked for; ``default`` where none was.

    Where many objects were asked for it is the whole result.
    """

    default: str = ""

    def write(self, method: str, given: Given, result: Any) -> str:  # noqa: ARG002
        """Return the value of the last object."""
        rows = rows_of(result)
        if given.get("names"):
            return as_text(result)
        return as_text(self.of(rows[-1], given)) if rows else ""

    def of(self, row: Row, given: Given) -> Any:
        """Return the value in ``row``."""
        asked = given.get("properties") or [self.default or _last(row)]
        return row.get(asked[0])


class Sample(Value, frozen=True):
    """The latest sample of a performance counter.

    The whole object's, if instances of it (processors, disks) were measured as well.
    """

    def write(self, method: str, given: Given, result: Any) -> str:  # noqa: ARG002
        """Return the value; the whole result for several counters or objects."""
        if given.get("names") or given.get("counters"):
            return as_text(result)
        rows = rows_of(result)
        rows = [row for row in rows if row.get("instance") in (None, "")] or rows
        return as_text(self.of(rows[-1], given)) if rows else ""


class Rows(Shape, frozen=True):
    """A discovery of the rows in a result, or of those in the list ``inside`` it.

    Its macros begin with the method's name, less the verb, or with ``prefix``. Where many
    objects were asked for, macros of theirs tell whose the rows are.
    """

    inside: str = ""
    prefix: str = ""

    def write(self, method: str, given: Given, result: Any) -> str:
        """Return the discovery."""
        prefix = self.prefix or method.rpartition(".")[0]
        if not given.get("names"):
            return discovery(macros(prefix, row) for row in rows_of(result, self.inside))
        kind = method.partition(".")[0]
        found = [pair for row in rows_of(result) for pair in flat(row)]
        return discovery(macros(kind, owner) | macros(prefix, part) for owner, part in found)


class Disk(Value, frozen=True):
    """One property of a guest's disk; without a ``key`` the discovery of all its disks."""

    def write(self, method: str, given: Given, result: Any) -> str:
        """Return the value, or the discovery."""
        if not given.get("key"):
            return Rows("disk", "vm").write(method, given, result)
        return Value.write(self, method, given, rows_of(result, "disk"))


class Count(Shape, frozen=True):
    """How many processes there are, with ``key`` in their command line if one is given."""

    def write(self, method: str, given: Given, result: Any) -> str:  # noqa: ARG002
        """Return the number."""
        key = str(given.get("key") or "")
        return str(sum(key in _command(row) for row in rows_of(result)))


def _command(row: Row) -> str:
    return str(row.get("cmdLine") or row.get("name") or "")


def _last(row: Row) -> str:
    """Return the name of the value that the row is about, which is not the first, the name."""
    return list(row)[-1] if row else ""
