"""All hosts that an agent is to serve: those in the settings, and those in the database."""

from __future__ import annotations

import hashlib
import hmac
import os
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from vpoller_like.errors import ConfigError
from workers.vsphere.hosts import password
from workers.vsphere.hosts.key import KeyFile
from workers.vsphere.hosts.places import Places, find
from workers.vsphere.hosts.record import Record
from workers.vsphere.hosts.settings import SECTION, HostSettings, VSphereSettings, read
from workers.vsphere.hosts.store import HostStore
from workers.vsphere.session.tls import make_trust

#: What digests passwords that are in the settings; another one in each process.
_DIGEST_KEY = os.urandom(32)


class Configured(NamedTuple):
    """A host to serve."""

    #: Of the agent's constructor.
    arguments: dict[str, Any]
    #: Another one wherever the arguments are; of the password it holds a digest.
    variant: Hashable


def from_settings(section: Mapping[str, Any]) -> list[Configured]:
    """Return the hosts that are in the settings themselves.

    Raises ``ConfigError`` that names the setting, also for a password that cannot be read
    now and for a host that is listed twice. Commands are not run yet.
    """
    hosts = read(section).hosts
    _refuse_twins([host.host for host in hosts])
    return [_of_settings(host, f"{SECTION}.hosts[{index}]") for index, host in enumerate(hosts)]


def from_database(section: Mapping[str, Any]) -> list[Configured]:
    """Return the hosts in the database that are enabled. Their passwords are not read.

    Raises ``ConfigError`` where the database cannot be used, and for a host that the settings
    have too.
    """
    settings = read(section)
    where = places_of(settings)
    listed = {host.host for host in settings.hosts}
    records = [record for record in HostStore(where.database).all() if record.enabled]
    for record in records:
        _refuse_listed(record.host, listed, where.database)
    key = KeyFile(where.key_file)
    return [of_record(record, key) for record in records]


def places_of(settings: VSphereSettings) -> Places:
    """Return where the database and its key are."""
    return find(settings.database, settings.key_file)


def revision(section: Mapping[str, Any]) -> Hashable:
    """Return what is another when the hosts of the database may be."""
    return HostStore(places_of(read(section)).database).revision()


def of_record(record: Record, key: KeyFile) -> Configured:
    """Return a host of the database."""
    source = record.source
    digest = hashlib.sha256(source.value).digest()
    identity = (source.kind, digest, key.path if source.kind == "encrypted" else None)
    return _configured(record.settings, opener(record, key), identity)


def opener(record: Record, key: KeyFile) -> password.Password:
    """Return what reads the password of a host of the database."""
    source = record.source
    if record.is_foreign and source.kind != "encrypted":
        return lambda: _refuse_foreign(record)
    match source.kind:
        case "encrypted":
            return lambda: key.decrypt(record.host, source.value)
        case "command":
            return password.from_command(source.words)
        case "file":
            return password.from_file(source.value.decode())
        case "environment":
            return password.from_environment(source.value.decode())


def _refuse_foreign(record: Record) -> str:
    raise ConfigError(
        f"database: it belongs to another user, and the password of {record.host} is elsewhere "
        f"({record.source.kind}): root does not go where others point; run this as that user"
    )


def _of_settings(host: HostSettings, where: str) -> Configured:
    try:
        make_trust(host.verify, host.ca_file, host.thumbprint)
        name, source, value = _password(host)
        if name != "password_command":
            source()
    except ConfigError as error:
        raise ConfigError(f"{where}.{error.message}") from error
    digest = hmac.digest(_DIGEST_KEY, repr(value).encode(), "sha256")
    return _configured(host, source, (name, digest))


def _configured(host: HostSettings, source: password.Password, identity: Hashable) -> Configured:
    arguments = _arguments(host)
    return Configured({**arguments, "pwd": source}, (*sorted(arguments.items()), identity))


def _arguments(host: HostSettings) -> dict[str, Any]:
    """Return all of the constructor's arguments but the password."""
    return {
        "user": host.user,
        "host": host.host,
        "port": host.port,
        "ca_file": host.ca_file,
        "thumbprint": host.thumbprint,
        "verify": host.verify,
        "timeout": host.timeout_ms / 1000,
        "connect_timeout": host.connect_timeout_ms / 1000,
        "max_names": host.max_names,
        "max_calls": host.max_calls,
    }


def _password(host: HostSettings) -> tuple[str, password.Password, Any]:
    """Return the setting that says where the password is, what reads it, and its value."""
    given = list(_sources(host))
    if not given:
        raise ConfigError(
            "password: missing; give password_file, password_env, password_command or password"
        )
    if len(given) > 1:
        raise ConfigError(f"{given[1][0]}: {given[0][0]} is given as well; keep one of them")
    name, make, value = given[0]
    return name, make(value), value


def _sources(host: HostSettings) -> Iterator[tuple[str, Callable[[Any], password.Password], Any]]:
    for name, make in (
        ("password", password.from_text),
        ("password_file", password.from_file),
        ("password_env", password.from_environment),
        ("password_command", password.from_command),
    ):
        value = getattr(host, name)
        if value is not None:
            yield name, make, value


def _refuse_twins(hosts: list[str]) -> None:
    for index, host in enumerate(hosts):
        if host in hosts[:index]:
            raise ConfigError(
                f"{SECTION}.hosts[{index}].host: {host} is listed twice; remove one of them"
            )


def _refuse_listed(host: str, listed: Iterable[str], database: str) -> None:
    if host in listed:
        raise ConfigError(
            f"{SECTION}.hosts: {host} is in the database {database} as well; remove it from the "
            f"settings, or there with `vpoller host remove {host}`"
        )
