"""Low-level discovery: rows with a macro for each property, from which Zabbix makes items."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from workers.vsphere.helpers.text import Row, as_text

#: What Zabbix does not allow in a macro's name.
_FOREIGN = re.compile(r"[^A-Z0-9_.]")


def discovery(rows: Iterable[Row]) -> str:
    """Return what Zabbix reads: ``{"data": [{"{#VSPHERE.VM.NAME}": "vm01"}, ...]}``."""
    return msgspec.json.encode({"data": list(rows)}).decode()


def macros(prefix: str, row: Row) -> Row:
    """Return ``row`` with macros for its names. ``prefix`` is what it is about, such as ``vm``."""
    return {macro(prefix, key): _value(value) for key, value in row.items()}


def macro(prefix: str, key: str) -> str:
    """Return the macro for the property ``key`` of what is called ``prefix``."""
    name = _FOREIGN.sub("_", f"{prefix}.{key}".upper())
    return f"{{#VSPHERE.{name}}}"


def _value(value: Any) -> Any:
    """Return what a macro can be: a text, or a number."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number else as_text(value)
