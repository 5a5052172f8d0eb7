"""What ``vpoller host`` does: looking at the hosts, and changing those of the database."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from vpoller_like.errors import ConfigError
from workers.vsphere.hosts import configured
from workers.vsphere.hosts.key import KeyFile
from workers.vsphere.hosts.record import Record, Source, options_of
from workers.vsphere.hosts.settings import SECTION, HostSettings, read
from workers.vsphere.hosts.store import HostStore
from workers.vsphere.session.tls import make_trust

#: The settings that say, together, whom to trust: one of them puts all in their places.
_TRUST = {"ca_file": None, "thumbprint": None, "verify": True}


class Keeper:
    """The hosts of ``section``, the agent's settings, and of the database that it names."""

    def __init__(self, section: Mapping[str, Any], database: str = "") -> None:
        settings = read(section)
        if database:
            settings = msgspec.structs.replace(settings, database=database)
        where = configured.places_of(settings)
        self.store = HostStore(where.database)
        self.key = KeyFile(where.key_file)
        self._section = section
        self._listed = {host.host: host for host in settings.hosts}

    def rows(self) -> list[dict[str, Any]]:
        """Return all hosts as data, those of the settings first."""
        return [*map(_listed_row, self._listed.values()), *map(_row, self.store.all())]

    def row(self, host: str) -> dict[str, Any]:
        """Return one of them; raise ``ConfigError`` (``reason`` not_found) where it is none."""
        return next((row for row in self.rows() if row["host"] == host), None) or _raise_none(host)

    def to_try(self, hosts: Sequence[str]) -> list[configured.Configured]:
        """Return these hosts, or all that are enabled; raise as :meth:`row` does."""
        known = {record.host: configured.of_record(record, self.key) for record in self.store.all()}
        known |= {host.arguments["host"]: host for host in self._from_settings()}
        wanted = hosts or [row["host"] for row in self.rows() if row["enabled"]]
        return [known.get(host) or _raise_none(host) for host in wanted]

    def encrypted(self, host: str, password: str) -> Source:
        """Return a password as the database may have it; the first one makes the key."""
        if not self.key.exists():
            self._refuse_lost_key()
            self.key.make()
        return Source("encrypted", self.key.encrypt(host, password))

    def password_of(self, record: Record) -> str:
        """Return the password of a host; raise ``ConfigError`` where it cannot be read."""
        return configured.opener(record, self.key)()

    def refuse_present(self, host: str) -> None:
        """Raise ``ConfigError`` for a host that is in the database."""
        if self.store.find(host):
            raise ConfigError(f"{host} is there already; --replace changes what you say of it")

    def put(self, records: Sequence[Record]) -> None:
        """Write hosts, all or none; raise ``ConfigError`` where one is not as it must be."""
        for record in records:
            self.refuse_listed(record.host)
            check(record.settings)
        self.store.put(records)

    def add(self, record: Record) -> None:
        """Write a host; raise ``ConfigError`` where one of its name has come meanwhile."""
        if not self.store.add(record):
            self.refuse_present(record.host)

    def enable(self, host: str, enabled: bool) -> None:
        """Enable or disable a host."""
        self.refuse_listed(host)
        if not self.store.enable(host, enabled):
            _raise_none(host)

    def remove(self, host: str) -> None:
        """Remove a host."""
        self.refuse_listed(host)
        if not self.store.remove(host):
            _raise_none(host)

    def refuse_listed(self, host: str) -> None:
        """Raise ``ConfigError`` for a host that is in the settings: it is changed there."""
        if host in self._listed:
            raise ConfigError(
                f"{host} is in the settings ([[{SECTION}.hosts]]); change it there, or take it out"
            )

    def _from_settings(self) -> list[configured.Configured]:
        return configured.from_settings(self._section) if self._listed else []

    def _refuse_lost_key(self) -> None:
        lost = [record.host for record in self.store.all() if record.source.kind == "encrypted"]
        if lost:
            raise ConfigError(
                f"key_file: {self.key.path} is gone, and with it the passwords of "
                f"{', '.join(lost)}; bring it back, or remove these hosts and add them anew"
            )


def changed(before: HostSettings, said: Mapping[str, Any]) -> HostSettings:
    """Return ``before`` with what was ``said``; a word about trust replaces all about it."""
    forgotten = _TRUST if said.keys() & _TRUST.keys() else {}
    return msgspec.structs.replace(before, **{**forgotten, **said})


def check(settings: HostSettings) -> None:
    """Raise ``ConfigError`` for what reading would refuse, and for a contradiction in trust."""
    try:
        msgspec.convert(msgspec.structs.asdict(settings), HostSettings)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{error}; correct it") from error
    if not settings.user.isprintable():
        raise ConfigError("user: expected printable characters alone")
    if not _is_name(settings.host):
        raise ConfigError(
            "host: expected a name or an address alone, such as vc01.example.org; "
            "the port is --port, the user --user"
        )
    make_trust(settings.verify, settings.ca_file, settings.thumbprint)


def _is_name(host: str) -> bool:
    """Say whether it is a name or an address without a port; of IPv6, with two colons."""
    is_word = re.fullmatch(r"[^\s/\\@\[\]-][^\s/\\@]*", host) is not None
    return is_word and host.isprintable() and host.count(":") != 1


def _row(record: Record) -> dict[str, Any]:
    return {**record.told(), "origin": "database"}


def _listed_row(host: HostSettings) -> dict[str, Any]:
    return {
        "host": host.host,
        "user": host.user,
        "password": _password_of(host),
        "enabled": True,
        **options_of(host),
        "origin": "settings",
    }


def _password_of(host: HostSettings) -> str:
    """Say where the password of a host of the settings is."""
    if host.password_command:
        return str(Source.of_command(host.password_command))
    if host.password_file:
        return f"file: {host.password_file}"
    return f"environment: {host.password_env}" if host.password_env else "settings"


def _raise_none(host: str) -> Any:
    raise ConfigError(
        f"there is no host {host}; `vpoller host list` shows them", reason="not_found"
    )
