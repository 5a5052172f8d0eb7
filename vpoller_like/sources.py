"""Where settings are given: files, the environment, flags. Read, not yet checked."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

import msgspec

from vpoller_like.errors import ConfigError

#: A key as its parts: ``("broker", "frontend")``.
KeyPath = tuple[str, ...]

#: The section whose keys belong to the agents, however deep they go.
OPEN_SECTION = "agents"
FILE_NAME = "vpoller.toml"
SYSTEM_FILE = f"/etc/vpoller/{FILE_NAME}"
PREFIX = "VPOLLER_"
#: Names a file, and is no setting itself.
FILE_VARIABLE = "VPOLLER_CONFIG"
#: Leaves the C extensions alone, and is no setting either: it holds for one process.
PURE_VARIABLE = "VPOLLER_PURE"

# Compiled when first used, which is seldom.
_HEADER = r"\s*\[\[?(.+?)\]\]?\s*(?:#.*)?$"
_ASSIGNMENT = r"""\s*((?:[\w.\s-]|"[^"]*"|'[^']*')+?)\s*="""


class Origin(msgspec.Struct, frozen=True):
    """Where a value was given; as text ``default``, ``FILE:LINE``, the variable or ``flag``."""

    kind: Literal["default", "file", "environment", "flag"] = "default"
    place: str = ""
    line: int | None = None

    def __str__(self) -> str:
        if not self.place:
            return self.kind
        return self.place if self.line is None else f"{self.place}:{self.line}"


class Given(NamedTuple):
    """A value and where it was given."""

    value: Any
    origin: Origin


#: What one source gives.
Layer = dict[KeyPath, Given]


def dotted(path: KeyPath) -> str:
    """Write a key as a person writes it in TOML; parts that need quotes get them."""
    return ".".join(part if re.fullmatch(r"[\w-]+", part) else f'"{part}"' for part in path)


def file_layers(
    config: str | os.PathLike[str] | None, environ: Mapping[str, str], cwd: str | os.PathLike[str]
) -> Iterator[Layer]:
    """Read every file that is there, the least important first.

    ``config`` (or else ``$VPOLLER_CONFIG``) was asked for by name: where it cannot be read,
    ``ConfigError`` is raised. The others may be absent; one that this user may not read,
    as a file with passwords should be, is left out with a warning.
    """
    for path in (SYSTEM_FILE, _user_file(environ), os.path.join(cwd, FILE_NAME)):
        try:
            yield read_file(path)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError as error:
            _warn_of(path, error)
    named = config or environ.get(FILE_VARIABLE)
    if named:
        yield _read_named(os.fspath(named), "--config" if config else f"${FILE_VARIABLE}")


def read_file(path: str) -> Layer:
    """Read one TOML file; raise ``ConfigError`` where it is not TOML, and ``OSError``."""
    with open(path, "rb") as file:
        data = file.read()
    # Here, because most calls find no file at all; this module has no import of its own
    # (pathlib and logging among them) that a single `vpoller call` would wait for.
    import tomllib

    try:
        text = data.decode()
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}; correct the file") from error
    lines = _line_numbers(text)
    return {
        key: Given(value, Origin("file", path, _line_of(key, lines)))
        for key, value in _leaves(tables)
    }


def environment_layer(environ: Mapping[str, str], variables: Mapping[str, KeyPath]) -> Layer:
    """Take the known ``variables`` (name to key) from ``environ``, as text."""
    return {
        key: Given(environ[name], Origin("environment", name))
        for name, key in variables.items()
        if name in environ
    }


def flag_layer(flags: Mapping[str, Any]) -> Layer:
    """Take what was said on the command line: ``section.key`` to value, ``None`` is unsaid."""
    return {
        tuple(key.split(".")): Given(value, Origin("flag"))
        for key, value in flags.items()
        if value is not None
    }


def _user_file(environ: Mapping[str, str]) -> str:
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config")
    return os.path.join(base, "vpoller", FILE_NAME)


def _warn_of(path: str, error: OSError) -> None:
    import logging

    logging.getLogger(__name__).warning("%s is left out: %s", path, error.strerror)


def _read_named(path: str, by: str) -> Layer:
    try:
        return read_file(path)
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; {by} must name a readable file"
        ) from error


def _leaves(tables: Mapping[str, Any]) -> Iterator[tuple[KeyPath, Any]]:
    """Yield each key with its value: two deep, and all the way down in the open section."""
    for section, content in tables.items():
        depth = 64 if section == OPEN_SECTION else 1
        yield from _descend((section,), content, depth)


def _descend(path: KeyPath, value: Any, depth: int) -> Iterator[tuple[KeyPath, Any]]:
    if not isinstance(value, dict) or not value or depth == 0:
        yield path, value
        return
    for key, inner in value.items():
        yield from _descend((*path, key), inner, depth - 1)


def _line_numbers(text: str) -> dict[KeyPath, int]:
    """Find the line of each key, as tomllib does not tell; good for people, not for proof."""
    found: dict[KeyPath, int] = {}
    section: KeyPath = ()
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(_HEADER, line):
            section = _parts(header[1])
            found.setdefault(section, number)
        elif assignment := re.match(_ASSIGNMENT, line):
            found.setdefault((*section, *_parts(assignment[1])), number)
    return found


def _parts(name: str) -> KeyPath:
    """Split a dotted key, quotes and all, as TOML itself does."""
    import tomllib

    try:
        inner: Any = tomllib.loads(f"{name} = 0")
    except tomllib.TOMLDecodeError:
        return (name,)
    parts: list[str] = []
    while isinstance(inner, dict):
        (part, inner), *_ = inner.items()
        parts.append(part)
    return tuple(parts)


def _line_of(key: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Return the line of ``key``, or of the inline table that holds it."""
    return next((lines[key[:end]] for end in range(len(key), 0, -1) if key[:end] in lines), None)
