"""Values of a reply as text, and the rows in a result, whatever its shape."""

from __future__ import annotations

from typing import Any

import msgspec

Row = dict[str, Any]


def as_text(value: Any) -> str:
    """Return ``value`` as a person would write it: text as it is, nothing for ``None``.

    What has parts is JSON.
    """
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def rows_of(result: Any, inside: str = "") -> list[Row]:
    """Return the rows of ``result``: a list, or the list ``inside`` each of its objects.

    One that is no object is an object with that as its ``name``.
    """
    found = result if isinstance(result, list) else [result]
    if inside:
        found = [part for each in found for part in _inner(each, inside)]
    return [each if isinstance(each, dict) else {"name": each} for each in found]


def flat(row: Row) -> list[tuple[Row, Row]]:
    """Return each object in the one list of objects in ``row``, with what else ``row`` has.

    A row without such a list is one object, of which nothing else is known.
    """
    tables = [key for key, value in row.items() if _is_table(value)]
    if len(tables) != 1:
        return [({}, row)]
    owner = {key: value for key, value in row.items() if key != tables[0]}
    return [(owner, part) for part in row[tables[0]]]


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(part, dict) for part in value)


def _inner(each: Any, inside: str) -> list[Any]:
    part = each.get(inside) if isinstance(each, dict) else None
    if part is None:
        return []
    return part if isinstance(part, list) else [part]
