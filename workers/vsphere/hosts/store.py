"""The database of hosts: an SQLite file that ``vpoller host`` writes and workers read.

The standard library's sqlite3 does: writes are a person's, and few; a connection lives for
one of them, or for one look at all hosts. The journal is SQLite's usual one, not a WAL: a
worker then needs no right to write into the directory, there is one file to look after, and
that file changes with each commit, which is how workers see one (:meth:`HostStore.revision`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
from collections.abc import Callable, Hashable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from vpoller_like.errors import ConfigError
from workers.vsphere.hosts import private
from workers.vsphere.hosts.record import Record, Source, options_of
from workers.vsphere.hosts.schema import STEPS, upgrade, version_of
from workers.vsphere.hosts.settings import HostSettings

T = TypeVar("T")

#: Seconds to wait for another process's transaction.
_PATIENCE = 10.0
#: Where an SQLite file counts its commits, by its format: 4 bytes, the greatest first.
_COMMITS = slice(24, 28)

_COLUMNS = "host, user, password_kind, password, options, enabled"
_INTO = f"INTO hosts ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)"


class HostStore:
    """The hosts in the file ``path``, which is made with the first of them (mode 0600).

    Every method raises ``ConfigError`` where the file cannot be used as it should.
    """

    def __init__(self, path: str) -> None:
        self.path = path

    def exists(self) -> bool:
        """Say whether the file is there."""
        try:
            os.stat(self.path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError as error:
            raise ConfigError(f"database: {self.path}: {error.strerror}") from error
        return True

    def make(self) -> None:
        """Make the file, with no host, unless it is there."""
        self._write(lambda _: None)

    def all(self) -> list[Record]:
        """Return the hosts by name; none where there is no file."""
        if not self.exists():
            return []
        with self._opened() as connection:
            if not self._is_current(connection):
                return []
            return _records(connection, self._is_foreign())

    def find(self, host: str) -> Record | None:
        """Return a host, if it is there."""
        return next((record for record in self.all() if record.host == host), None)

    def put(self, records: Sequence[Record]) -> None:
        """Write hosts, in the place of those of the same names; all of them or none."""
        rows = [_row(record) for record in records]
        self._write(lambda connection: connection.executemany(f"REPLACE {_INTO}", rows))

    def add(self, record: Record) -> bool:
        """Write a host, unless one of its name is there; say whether it was written."""
        statement = f"INSERT {_INTO} ON CONFLICT (host) DO NOTHING"
        row = _row(record)
        return self._write(lambda connection: connection.execute(statement, row).rowcount) > 0

    def enable(self, host: str, enabled: bool) -> bool:
        """Enable or disable a host; say whether it is there."""
        statement = "UPDATE hosts SET enabled = ? WHERE host = ?"
        return self._changes(statement, int(enabled), host) > 0

    def remove(self, host: str) -> bool:
        """Remove a host, and overwrite its password; say whether it was there."""
        return self._changes("DELETE FROM hosts WHERE host = ?", host) > 0

    def revision(self) -> Hashable:
        """Return what is another after each change; it takes no lock, and some microseconds."""
        try:
            with open(self.path, "rb") as file:
                found = os.fstat(file.fileno())
                # Two commits within one tick of the file system's clock are told apart so.
                commits = file.read(_COMMITS.stop)[_COMMITS]
        except OSError as error:
            return error.errno
        return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns, commits

    def require_private(self) -> None:
        """Raise ``ConfigError`` where others can read or change the file."""
        private.require_private(os.stat(self.path), self.path, "database")

    def _changes(self, statement: str, *values: Any) -> int:
        if not self.exists():
            return 0
        return self._write(lambda connection: connection.execute(statement, values).rowcount)

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._make_file()
        with self._opened() as connection:
            connection.execute("BEGIN IMMEDIATE")
            # An error closes the connection, which takes everything back.
            upgrade(connection, self.path)
            result = work(connection)
            connection.execute("COMMIT")
            return result

    def _make_file(self) -> None:
        if self.exists():
            return
        try:
            with contextlib.suppress(FileExistsError):
                private.write_new(self.path, b"")
        except OSError as error:
            raise ConfigError(f"database: cannot make {self.path}: {error.strerror}") from error

    def _is_current(self, connection: sqlite3.Connection) -> bool:
        version = version_of(connection, self.path)
        if 0 < version < len(STEPS):
            raise ConfigError(
                f"database: {self.path} is of an older version; "
                "any change by `vpoller host` brings it up to date"
            )
        return version > 0

    def _is_foreign(self) -> bool:
        """Say whether another user can change the file, or put another into its place."""
        folder = os.path.dirname(self.path) or "."
        owners = {os.stat(path).st_uid for path in (self.path, folder)}
        return not owners <= {0, os.geteuid()}

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """Open the file that is there; every error of SQLite's becomes one of ours."""
        try:
            self.require_private()
            if not os.access(self.path, os.R_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            with contextlib.closing(self._connect()) as connection:
                # What is removed is overwritten, encrypted as it is.
                connection.execute("PRAGMA secure_delete = ON")
                yield connection
        except sqlite3.Error as error:
            raise ConfigError(f"database: {self.path} cannot be used: {error}") from error
        except OSError as error:
            raise ConfigError(f"database: {self.path}: {error.strerror}") from error

    def _connect(self) -> sqlite3.Connection:
        # Of a file that may not be written, SQLite makes a connection that reads.
        address = f"{Path(self.path).absolute().as_uri()}?mode=rw"
        return sqlite3.connect(address, uri=True, timeout=_PATIENCE, isolation_level=None)


def _records(connection: sqlite3.Connection, is_foreign: bool) -> list[Record]:
    rows = connection.execute(f"SELECT {_COLUMNS} FROM hosts ORDER BY host")
    return [_record(row, is_foreign) for row in rows]


def _record(row: tuple[Any, ...], is_foreign: bool) -> Record:
    host, user, kind, password, options, enabled = row
    try:
        said = msgspec.json.decode(options, type=dict[str, Any])
        settings = msgspec.convert({**said, "host": host, "user": user}, HostSettings)
        source = msgspec.convert({"kind": kind, "value": password}, Source)
        str(source)  # Reads the value.
    except (msgspec.DecodeError, TypeError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"database: what it says of {host} is of another version of this program: {error}; "
            f"run the newest one, or remove the host"
        ) from error
    return Record(settings, source, bool(enabled), is_foreign)


def _row(record: Record) -> tuple[Any, ...]:
    options = options_of(record.settings)
    usual = options_of(HostSettings(host=record.host, user=record.settings.user))
    # Only what was said: a default may become another one.
    said = {key: value for key, value in options.items() if value != usual[key]}
    return (
        record.host,
        record.settings.user,
        record.source.kind,
        record.source.value,
        msgspec.json.encode(said).decode(),
        int(record.enabled),
    )
