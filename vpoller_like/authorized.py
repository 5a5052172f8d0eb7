"""Who may use a broker: ``authorized.toml`` beside its keys.

It says by table whose public key may do what; the broker that runs takes up each change.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import Any, Literal, get_args

import msgspec

from vpoller_like.errors import ConfigError
from vpoller_like.keys import is_public_key, make_directory, require_name, shown
from vpoller_like.permissions import require_safe_place, require_unwritable
from vpoller_like.whole_files import replace

Role = Literal["caller", "worker", "admin"]
ROLES: tuple[Role, ...] = get_args(Role)

_FILE = "authorized.toml"
_EFFECT = "decides who may use the broker"
_HEADER = """\
# Who may use this broker. `vpoller keys authorize` and `vpoller keys revoke` write it; a
# running broker reads it again on SIGHUP, and within a second of a change.
"""


class Authorized(msgspec.Struct, frozen=True):
    """One who may use a broker. ``methods`` are patterns such as ``vm.*``."""

    name: str
    public_key: str
    role: Role
    methods: tuple[str, ...] = ("*",)


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One table of the file."""

    public_key: str
    role: Role
    methods: list[str] = msgspec.field(default_factory=lambda: ["*"])


class AuthorizedList:
    """The list in one directory of keys, neither of which need exist."""

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        self.directory = os.fspath(directory)

    @property
    def file(self) -> str:
        """The file that holds the list."""
        return os.path.join(self.directory, _FILE)

    def read(self) -> list[Authorized]:
        """Return who may use the broker, in the file's order; nobody, where there is no file.

        Raises ``ConfigError`` naming the entry where the file is wrong, or where others than
        its owner may write it or put another one in its place.
        """
        data = self._content()
        return [] if data is None else _parse(data, self.file)

    def read_again(self) -> list[Authorized]:
        """Return who may use the broker, as :meth:`read` does, where somebody could before.

        Raises ``ConfigError`` also where the file is gone or empty, as one is that is just
        being written: the list of nobody has a header.
        """
        data = self._content()
        if data is None or not data.strip():
            raise ConfigError(f"{self.file} is {'gone' if data is None else 'empty'}")
        return _parse(data, self.file)

    def _content(self) -> bytes | None:
        try:
            with open(self.file, "rb") as file:
                require_unwritable(os.fstat(file.fileno()), self.file, _EFFECT)
                found = os.stat(self.directory)
                require_safe_place(found, self.directory, f"{_FILE} there {_EFFECT}")
                return file.read()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise ConfigError(f"cannot read {self.file}: {error.strerror}") from error

    def add(self, entry: Authorized) -> None:
        """Let ``entry`` use the broker; it replaces the entry of the same name."""
        require_name(entry.name)
        with self._changing() as entries:
            for other in entries:
                if other.public_key == entry.public_key and other.name != entry.name:
                    raise ConfigError(
                        f"this key is authorised already, as {other.name}; "
                        f"`vpoller keys revoke {other.name}` first to change its name"
                    )
            _put(entries, entry)

    def revoke(self, name: str) -> Authorized:
        """Let nobody of that name use the broker any more; return who that was."""
        with self._changing() as entries:
            for index, entry in enumerate(entries):
                if entry.name == name:
                    return entries.pop(index)
        raise ConfigError(f"{self.file} names no {shown(name)}; see `vpoller keys list`")

    @contextlib.contextmanager
    def _changing(self) -> Iterator[list[Authorized]]:
        """Lend out the entries, and write them back; one process at a time."""
        make_directory(self.directory)
        folder = _lock(self.directory)
        try:
            entries = self.read()
            before = list(entries)
            yield entries
            if entries != before:
                replace(self.file, _written(entries))
        finally:
            os.close(folder)


def _put(entries: list[Authorized], entry: Authorized) -> None:
    for index, other in enumerate(entries):
        if other.name == entry.name:
            entries[index] = entry
            return
    entries.append(entry)


def _lock(folder: str) -> int:
    import fcntl

    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(opened, fcntl.LOCK_EX)
        except BaseException:
            os.close(opened)
            raise
    except OSError as error:
        raise ConfigError(
            f"cannot change what is in {folder}: {error.strerror}; see security.keys"
        ) from error
    return opened


# The file's text -------------------------------------------------------------------------


def _written(entries: Iterable[Authorized]) -> str:
    return _HEADER + "".join(
        f'\n["{entry.name}"]\n'
        f'public_key = "{entry.public_key}"\n'
        f'role = "{entry.role}"\n'
        f"methods = [{', '.join(_quoted(pattern) for pattern in entry.methods)}]\n"
        for entry in entries
    )


def _quoted(text: str) -> str:
    """Write a TOML string: JSON's escapes are among TOML's."""
    import json

    return json.dumps(text)


def _parse(data: bytes, path: str) -> list[Authorized]:
    import tomllib

    try:
        tables = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}; correct the file") from error
    entries = [_entry(name, table, path) for name, table in tables.items()]
    _require_different(entries, path)
    return entries


def _entry(name: str, table: Any, path: str) -> Authorized:
    try:
        require_name(name)
        entry = msgspec.convert(table, _Entry)
    except (ConfigError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: [{name}]: {error}; correct the file") from error
    if not is_public_key(entry.public_key):
        raise ConfigError(
            f"{path}: [{name}]: public_key is not the 40 characters of a key; correct the file"
        )
    return Authorized(name, entry.public_key, entry.role, tuple(entry.methods))


def _require_different(entries: Iterable[Authorized], path: str) -> None:
    seen: dict[str, str] = {}
    for entry in entries:
        if entry.public_key in seen:
            raise ConfigError(
                f"{path}: [{entry.name}] has the same key as [{seen[entry.public_key]}]; "
                "take one of them out"
            )
        seen[entry.public_key] = entry.name
