"""Results as comma-separated values."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import Any

from workers.vsphere.helpers.text import Row, as_text, flat, rows_of


def csvhelper(method: str, params: Mapping[str, Any], envelope: Mapping[str, Any]) -> str:  # noqa: ARG001
    """Return a line with the properties' names, and one for each object; of an error its text.

    A list within an object makes a line of each of its parts. What else has parts is JSON.
    """
    if envelope["success"]:
        return str(envelope["msg"])
    rows = [line for row in rows_of(envelope.get("result")) for line in _lines(row)]
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: as_text(value) for name, value in row.items()} for row in rows)
    return text.getvalue() if names else ""


def _lines(row: Row) -> list[Row]:
    """Return a row for each object in the one list of objects in ``row``, if it has some."""
    found = flat(row) or [({}, row)]
    return [{**owner, **_apart(part, owner, row)} for owner, part in found]


def _apart(part: Row, owner: Row, row: Row) -> Row:
    """Return ``part`` with other names where its owner has them, too: after the list's."""
    of = next(key for key in [*row, ""] if key not in owner)
    return {(f"{of}.{name}" if name in owner else name): value for name, value in part.items()}
