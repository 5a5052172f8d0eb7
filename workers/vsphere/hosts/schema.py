"""The database's tables, and how an older one becomes today's."""

from __future__ import annotations

import sqlite3

from vpoller_like.errors import ConfigError

#: What says that a database is ours: "vPol".
APPLICATION = 0x76506F6C

#: What makes version n + 1 of version n.
STEPS = (
    """
    CREATE TABLE hosts (
        host TEXT NOT NULL PRIMARY KEY,
        user TEXT NOT NULL,
        password_kind TEXT NOT NULL
            CHECK (password_kind IN ('encrypted', 'file', 'environment', 'command')),
        password BLOB NOT NULL,
        options TEXT NOT NULL,
        enabled INTEGER NOT NULL CHECK (enabled IN (0, 1))
    )
    """,
)


def version_of(connection: sqlite3.Connection, path: str) -> int:
    """Return the version of a database, 0 for an empty one.

    Raises ``ConfigError`` where it is somebody else's, or of a version to come.
    """
    application = _pragma(connection, "application_id")
    if application != APPLICATION and _tables(connection):
        raise ConfigError(f"database: {path} {_whose(connection)}")
    version = _pragma(connection, "user_version")
    if version > len(STEPS):
        raise ConfigError(
            f"database: {path} is of version {version}, and this program knows {len(STEPS)}; "
            "upgrade it"
        )
    return version


def upgrade(connection: sqlite3.Connection, path: str) -> None:
    """Make a database today's; to be called in a transaction that may write."""
    version = version_of(connection, path)
    if version == len(STEPS):
        return
    for step in STEPS[version:]:
        connection.execute(step)
    connection.execute(f"PRAGMA application_id = {APPLICATION}")
    connection.execute(f"PRAGMA user_version = {len(STEPS)}")


def _whose(connection: sqlite3.Connection) -> str:
    columns = {row[1] for row in connection.execute("PRAGMA table_info(hosts)")}
    if {"host", "user", "pwd", "enabled"} <= columns:
        return "is vConnector's; take its hosts over with `vpoller host import FILE`"
    return "is another program's database; name another file"


def _tables(connection: sqlite3.Connection) -> int:
    count: int = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    return count


def _pragma(connection: sqlite3.Connection, name: str) -> int:
    value: int = connection.execute(f"PRAGMA {name}").fetchone()[0]
    return value
