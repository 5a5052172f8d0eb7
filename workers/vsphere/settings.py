"""Section ``[agents.vsphere]`` of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from vpoller_like.agent import settings
from vpoller_like.errors import ConfigError
from workers.vsphere import password
from workers.vsphere.tls import make_trust

SECTION = "agents.vsphere"

Word = Annotated[str, msgspec.Meta(min_length=1)]
Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=3_600_000)]


class HostSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ``[[agents.vsphere.hosts]]``: a vCenter or an ESXi host."""

    #: Its name or address, which is the ``hostname`` of requests.
    host: Word
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 443
    user: Word
    #: One of these three says where the password is.
    password: Word | None = None
    password_file: Word | None = None
    password_env: Word | None = None
    #: At most one of these three says how the certificate is checked otherwise than by
    #: the system's authorities.
    ca_file: Word | None = None
    thumbprint: Word | None = None
    verify: bool = True
    #: Silence after which a call is given up.
    timeout_ms: Milliseconds = 30_000
    #: How long a connection may take to be made.
    connect_timeout_ms: Milliseconds = 10_000
    #: How long the objects of a name are remembered; 0 asks for them each time.
    name_age_ms: Annotated[int, msgspec.Meta(ge=0, le=3_600_000)] = 60_000

    def __repr__(self) -> str:
        return f"HostSettings(host={self.host!r}, port={self.port}, user={self.user!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("host", self.host), ("port", self.port), ("user", self.user)]


class VSphereSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole section."""

    hosts: list[HostSettings] = []


def read_hosts(section: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the keyword arguments of an agent for each host that ``section`` lists.

    Raises ``ConfigError`` that names the setting, also for a password that cannot be read
    now and for a host that is listed twice.
    """
    listed = settings.read(VSphereSettings, section, SECTION).hosts
    _refuse_twins([host.host for host in listed])
    return [_arguments(host, f"{SECTION}.hosts[{index}]") for index, host in enumerate(listed)]


def _arguments(host: HostSettings, where: str) -> dict[str, Any]:
    try:
        make_trust(host.verify, host.ca_file, host.thumbprint)
        source = _password(host)
        source()
    except ConfigError as error:
        raise ConfigError(f"{where}.{error.message}") from error
    return {
        "user": host.user,
        "pwd": source,
        "host": host.host,
        "port": host.port,
        "ca_file": host.ca_file,
        "thumbprint": host.thumbprint,
        "verify": host.verify,
        "timeout": host.timeout_ms / 1000,
        "connect_timeout": host.connect_timeout_ms / 1000,
        "name_age": host.name_age_ms / 1000,
    }


def _password(host: HostSettings) -> password.Password:
    sources = [
        (name, make, value)
        for name, make, value in (
            ("password", password.from_text, host.password),
            ("password_file", password.from_file, host.password_file),
            ("password_env", password.from_environment, host.password_env),
        )
        if value is not None
    ]
    if not sources:
        raise ConfigError("password: missing; give password_file, password_env or password")
    if len(sources) > 1:
        raise ConfigError(f"{sources[1][0]}: {sources[0][0]} is given as well; keep one of them")
    _, make, value = sources[0]
    return make(value)


def _refuse_twins(hosts: list[str]) -> None:
    for index, host in enumerate(hosts):
        if host in hosts[:index]:
            raise ConfigError(
                f"{SECTION}.hosts[{index}].host: {host} is listed twice; remove one of them"
            )
