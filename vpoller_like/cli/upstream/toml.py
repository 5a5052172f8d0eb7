"""Writing TOML, as far as migrated settings need it."""

from __future__ import annotations

import json
from typing import Any


def literal(value: Any) -> str:
    """Return a string, or a list of strings, as TOML has it."""
    if isinstance(value, list):
        return f"[{', '.join(map(literal, value))}]"
    # JSON's strings are TOML's, but for the one control character that JSON leaves as it is.
    return json.dumps(str(value), ensure_ascii=False).replace("\x7f", "\\u007f")


def comment(text: str) -> str:
    """Return ``text`` as one line of comment; characters that TOML forbids there as ``?``."""
    line = " ".join(text.split())
    return "# " + "".join(c if c.isprintable() else "?" for c in line)
