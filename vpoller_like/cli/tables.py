"""Any data as tables that a person reads."""

from __future__ import annotations

import io
import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

#: Columns where stdout is no terminal: nothing is folded then.
_UNFOLDED = 4096


def render(data: Any) -> str:
    """Return ``data`` as text: an object as its keys, a list of objects as rows.

    An object's inner lists of objects follow it as tables of their own.
    """
    if isinstance(data, Mapping):
        return draw(*_object(data))
    if _is_rows(data):
        return draw(rows(data))
    if isinstance(data, list):
        return draw(*(Text(cell(item)) for item in data))
    return draw(Text(cell(data)))


def rows(items: Sequence[Mapping[str, Any]], columns: Sequence[str] | None = None) -> Table:
    """Return a table with a line for each item.

    Without ``columns`` they are the keys in the order in which they are first met; a named
    one that no item has is left out.
    """
    present = list(dict.fromkeys(key for item in items for key in item))
    shown = present if columns is None else [name for name in columns if name in present]
    table = _table()
    for name in shown:
        given = [item[name] for item in items if item.get(name) is not None]
        numeric = bool(given) and all(map(_is_number, given))
        table.add_column(Text(cell(name)), justify="right" if numeric else "left")
    for item in items:
        table.add_row(*(Text(cell(item.get(name))) for name in shown))
    return table


def pairs(items: Mapping[str, Any]) -> Table:
    """Return a table with a line for each key and its value."""
    table = _table(show_header=False)
    for key, value in items.items():
        table.add_row(Text(cell(key), style="bold"), Text(cell(value)))
    return table


def cell(value: Any) -> str:
    """Return ``value`` on one line (a text keeps its own lines), safe for a terminal."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return _printable(value)
    if isinstance(value, list) and not any(isinstance(item, dict | list) for item in value):
        return ", ".join(cell(item) for item in value)
    return _printable(msgspec.json.encode(value).decode())


def draw(*parts: RenderableType) -> str:
    """Return ``parts``, one after another, as text that suits where stdout goes."""
    terminal = sys.stdout.isatty()
    console = Console(
        file=io.StringIO(),
        force_terminal=terminal and not os.environ.get("NO_COLOR"),
        width=shutil.get_terminal_size().columns if terminal else _UNFOLDED,
        highlight=False,
    )
    with console.capture() as captured:
        console.print(Group(*parts))
    return "".join(f"{line.rstrip()}\n" for line in captured.get().splitlines())


def _object(data: Mapping[str, Any]) -> list[RenderableType]:
    flat = _flattened(data)
    plain = {key: value for key, value in flat.items() if not _is_rows(value)}
    parts: list[RenderableType] = [pairs(plain)] if plain else []
    for key in [key for key in flat if key not in plain]:
        parts += ["", Text(cell(key), style="bold underline"), rows(flat[key])]
    return parts


def _flattened(data: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return inner objects' keys as ``outer.inner``."""
    flat: dict[str, Any] = {}
    for key, value in data.items():
        if isinstance(value, Mapping) and value:
            flat |= _flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _is_rows(data: Any) -> bool:
    return isinstance(data, list) and bool(data) and all(isinstance(i, Mapping) for i in data)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _table(show_header: bool = True) -> Table:
    return Table(
        show_header=show_header,
        box=None,
        pad_edge=False,
        padding=(0, 2, 0, 0),
        header_style="bold",
    )


def _printable(text: str) -> str:
    """Show control characters instead of sending them: a result must not drive a terminal."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode()
        for char in text
    )
