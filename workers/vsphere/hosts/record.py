"""One host of the database."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from workers.vsphere.hosts.settings import HostSettings, Word

#: Where a password is: in the database, encrypted, or where the value says.
Kind = Literal["encrypted", "file", "environment", "command"]

_Words = Annotated[list[Word], msgspec.Meta(min_length=1)]


class Source(msgspec.Struct, frozen=True):
    """Where the password is. What is in the database is shown by no ``repr``."""

    kind: Kind
    #: The encrypted password; a path; a variable's name; a command's words as JSON.
    value: bytes

    def __repr__(self) -> str:
        return f"Source({self})"

    def __str__(self) -> str:
        """Say it for people."""
        if self.kind == "encrypted":
            return self.kind
        told = " ".join(self.words) if self.kind == "command" else self.value.decode()
        return f"{self.kind}: {told}"

    @property
    def words(self) -> list[str]:
        """Return a command's words."""
        words: list[str] = msgspec.json.decode(self.value, type=_Words)
        return words

    @classmethod
    def of_command(cls, words: list[str]) -> Source:
        """Return the source that is a command."""
        return cls("command", msgspec.json.encode(words))


class Record(msgspec.Struct, frozen=True):
    """A host, with what ``[[agents.vsphere.hosts]]`` would say of it, and its password."""

    settings: HostSettings
    source: Source
    enabled: bool = True
    #: Whether the database is another user's, who is not to have root read or run anything.
    is_foreign: bool = False

    @property
    def host(self) -> str:
        """Return the host's name or address."""
        return self.settings.host

    def told(self) -> dict[str, Any]:
        """Return it as data for people and programs, without its password."""
        return {
            "host": self.host,
            "user": self.settings.user,
            "password": str(self.source),
            "enabled": self.enabled,
            **options_of(self.settings),
        }


#: What has a column of its own, or is a password.
_APART = frozenset(
    {"host", "user", "password", "password_file", "password_env", "password_command"}
)


def options_of(settings: HostSettings) -> dict[str, Any]:
    """Return all settings of a host but its name, its user and its password."""
    values = msgspec.structs.asdict(settings)
    return {key: value for key, value in values.items() if key not in _APART}
