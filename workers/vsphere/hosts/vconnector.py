"""Taking over the hosts of vConnector, whose database holds passwords in plain text."""

from __future__ import annotations

import contextlib
import hmac
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from vpoller_like.agent import hide_from_now_on
from vpoller_like.errors import ConfigError
from workers.vsphere.hosts.keeper import Keeper, changed, check
from workers.vsphere.hosts.record import Record
from workers.vsphere.hosts.settings import HostSettings

#: Where vConnector has its database unless told otherwise.
USUAL_FILE = "/var/lib/vconnector/vconnector.db"


class Found(msgspec.Struct, frozen=True):
    """A row of vConnector's."""

    host: Any
    user: Any
    password: Any
    enabled: bool

    def fault(self) -> str:
        """Say what keeps it from being taken; empty where nothing does."""
        for what in ("host", "user", "password"):
            value = getattr(self, what)
            if not isinstance(value, str) or not value:
                return f"it has no {what}"
        try:
            check(HostSettings(host=self.host, user=self.user))
        except ConfigError as error:
            return error.message
        return ""


class Taking:
    """Takes hosts over into a keeper's database; see :meth:`take`."""

    def __init__(self, keeper: Keeper, options: Mapping[str, Any], replace: bool) -> None:
        self._keeper = keeper
        self._options = options
        self._replace = replace
        self._present = {record.host: record for record in keeper.store.all()}
        self._records: list[Record] = []

    def take(self, found: Sequence[Found]) -> list[dict[str, Any]]:
        """Write what can be taken, all of it or nothing; return a row for each host.

        ``result`` is ``taken``, ``unchanged``, ``replaced``, or ``left`` with a ``reason``.
        """
        rows = [self._row(each) for each in found]
        if self._records:
            self._keeper.put(self._records)
        return rows

    def _row(self, found: Found) -> dict[str, Any]:
        result, reason = self._judge(found)
        return {"host": found.host, "user": found.user, "result": result, "reason": reason}

    def _judge(self, found: Found) -> tuple[str, str | None]:
        try:
            return self._judged(found)
        except ConfigError as error:
            return "left", error.message

    def _judged(self, found: Found) -> tuple[str, str | None]:
        fault = found.fault()
        if fault:
            return "left", fault
        self._keeper.refuse_listed(found.host)
        before = self._present.get(found.host)
        if before is None:
            self._accept(found, HostSettings(host=found.host, user=found.user))
            return "taken", None
        if self._is_same(before, found):
            return "unchanged", None
        if not self._replace:
            return "left", "it is there, and differs; --replace takes it"
        self._accept(found, changed(before.settings, {"user": found.user}))
        return "replaced", None

    def _is_same(self, before: Record, found: Found) -> bool:
        if before.settings.user != found.user:
            return False
        # Enabled or not is the business of whoever has it now.
        try:
            password = self._keeper.password_of(before)
        except ConfigError:
            return False
        return hmac.compare_digest(password.encode(), found.password.encode())

    def _accept(self, found: Found, settings: HostSettings) -> None:
        settings = changed(settings, self._options)
        check(settings)
        source = self._keeper.encrypted(found.host, found.password)
        self._records.append(Record(settings, source, found.enabled))


def read_hosts(path: str) -> list[Found]:
    """Return the hosts in vConnector's database; raise ``ConfigError`` if it is none.

    The file is not written. Its passwords are in no log from here on.
    """
    if not os.path.isfile(path):
        raise ConfigError(f"there is no {path}; name vConnector's database", reason="not_found")
    try:
        found = list(_rows(path))
    except sqlite3.Error as error:
        raise ConfigError(f"{path} is no database of vConnector's: {error}") from error
    for each in found:
        hide_from_now_on(each.password if isinstance(each.password, str) else "")
    return found


def _rows(path: str) -> Iterator[Found]:
    address = f"{Path(path).absolute().as_uri()}?mode=ro"
    with contextlib.closing(sqlite3.connect(address, uri=True)) as connection:
        connection.text_factory = _text
        for host, user, password, enabled in connection.execute(
            "SELECT host, user, pwd, enabled FROM hosts ORDER BY host"
        ):
            yield Found(host, user, password, enabled in (1, "1"))


def _text(data: bytes) -> str | bytes:
    """Return what is no text as it is: SQLite's own error would quote it, a password too."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data
