"""Section ``[agents.vsphere]`` of the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec

from vpoller_like.agent import settings

SECTION = "agents.vsphere"

Word = Annotated[str, msgspec.Meta(min_length=1)]
Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=3_600_000)]


class HostSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One ``[[agents.vsphere.hosts]]``: a vCenter or an ESXi host."""

    #: Its name or address, which is the ``hostname`` of requests.
    host: Word
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 443
    user: Word
    #: One of these four says where the password is.
    password: Word | None = None
    password_file: Word | None = None
    password_env: Word | None = None
    #: A program and its arguments; no shell is asked.
    password_command: Annotated[list[Word], msgspec.Meta(min_length=1)] | None = None
    #: At most one of these three says how the certificate is checked otherwise than by
    #: the system's authorities.
    ca_file: Word | None = None
    thumbprint: Word | None = None
    verify: bool = True
    #: Silence after which a call is given up.
    timeout_ms: Milliseconds = 30_000
    #: How long a connection may take to be made.
    connect_timeout_ms: Milliseconds = 10_000
    #: Objects whose names are kept at hand; with more, or 0, they are asked for each time.
    max_names: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 100_000
    #: Calls under way at once, in each process.
    max_calls: Annotated[int, msgspec.Meta(ge=1, le=256)] = 8

    def __repr__(self) -> str:
        return f"HostSettings(host={self.host!r}, port={self.port}, user={self.user!r})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return [("host", self.host), ("port", self.port), ("user", self.user)]


class VSphereSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole section."""

    #: Where ``vpoller host`` keeps more hosts; empty: see :mod:`workers.vsphere.hosts.places`.
    database: str = ""
    #: The key of the passwords in there; empty: beside the database.
    key_file: str = ""
    hosts: list[HostSettings] = []


def read(section: Mapping[str, Any]) -> VSphereSettings:
    """Return the section; raise ``ConfigError`` that names the setting that is wrong."""
    return settings.read(VSphereSettings, section, SECTION)
