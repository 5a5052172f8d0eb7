"""A database of hosts in a directory of its own, and vConnector's beside it."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from workers.vsphere.hosts import places
from workers.vsphere.hosts.keeper import Keeper
from workers.vsphere.hosts.record import Record, Source
from workers.vsphere.hosts.settings import HostSettings

#: As vConnector 0.6.0 makes it.
VCONNECTOR = """
    CREATE TABLE hosts (
        host TEXT UNIQUE,
        user TEXT,
        pwd  TEXT,
        enabled INTEGER
    )
"""


@pytest.fixture(autouse=True)
def nobody_elses_hosts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the hosts of whoever runs the tests out of them."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    monkeypatch.setattr(places, "SYSTEM_DIRECTORY", str(tmp_path / "system"))


def keeper_at(place: Path, **section: Any) -> Keeper:
    return Keeper({"database": str(place / "hosts.db"), **section})


def encrypted(keeper: Keeper, host: str, password: str, **changes: Any) -> Record:
    """Return a host whose password is encrypted with the keeper's key."""
    settings = HostSettings(host=host, user="root", **changes)
    return Record(settings, keeper.encrypted(host, password))


def by_variable(host: str, name: str = "NOWHERE", **changes: Any) -> Record:
    """Return a host whose password is in a variable."""
    settings = HostSettings(host=host, user="root", **changes)
    return Record(settings, Source("environment", name.encode()))


def make_vconnector(path: Path, *rows: tuple[Any, ...]) -> Path:
    """Make a database of vConnector's with these rows."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(VCONNECTOR)
        connection.executemany("INSERT INTO hosts VALUES (?, ?, ?, ?)", rows)
    return path
