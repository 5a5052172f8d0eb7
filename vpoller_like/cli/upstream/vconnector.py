"""vConnector's database of hosts, where vPoller's worker has them from: told from others."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

#: What its table of hosts has; the passwords in it are plain text.
COLUMNS = frozenset(("host", "user", "pwd", "enabled"))


def is_vconnectors(path: str) -> bool:
    """Say whether the file at ``path`` is such a database; it is not changed."""
    try:
        with contextlib.closing(sqlite3.connect(_read_only(path), uri=True)) as database:
            columns = {row[1] for row in database.execute("PRAGMA table_info(hosts)")}
    except sqlite3.Error:
        return False
    return columns >= COLUMNS


def successor(path: str) -> str | None:
    """Return ``path`` where it is a database of other hosts than vConnector's, to be used."""
    return path if os.path.isfile(path) and not is_vconnectors(path) else None


def advice(path: str) -> str:
    """Say how the hosts in the database at ``path`` are taken over."""
    if successor(path):
        return ""
    if not os.path.exists(path):
        return "it is not there; `vpoller host add` makes a database of hosts where it belongs"
    return (
        "it is vConnector's, with plain passwords: take its hosts over once, with "
        f"`vpoller host import {path}`"
    )


def _read_only(path: str) -> str:
    return f"{Path(path).absolute().as_uri()}?mode=ro"
