"""vPoller's INI file as it stands: every key with its value and its line."""

from __future__ import annotations

import configparser
import re
from collections.abc import Iterator, Mapping

import msgspec

from vpoller_like.errors import ConfigError

#: Where vPoller's programs look for it.
DEFAULT_FILE = "/etc/vpoller/vpoller.conf"

_SECTION = re.compile(r"\[(?P<name>[^]]+)\]")
_KEY = re.compile(r"(?P<name>[^\s:=#;][^:=]*?)\s*[:=]")


class Entry(msgspec.Struct, frozen=True):
    """A key of the file, as it is written there."""

    section: str
    key: str
    value: str
    path: str
    line: int | None = None

    @property
    def place(self) -> str:
        """Where it stands: ``FILE:LINE``."""
        return self.path if self.line is None else f"{self.path}:{self.line}"

    def __str__(self) -> str:
        return f"[{self.section}] {self.key} = {' '.join(self.value.split())}".rstrip()


def read(path: str) -> list[Entry]:
    """Return what the file at ``path`` says, in its order.

    Raises ``ConfigError`` that names the file, the line where there is one, and what to do.
    """
    text = _text(path)
    # As vPoller read it under Python 2; under 3 such a value was of no use to it.
    parser = configparser.ConfigParser(inline_comment_prefixes=(";",))
    try:
        parser.read_string(text, source=path)
        return list(_entries(parser, path, _lines(text)))
    except configparser.Error as error:
        fault = " ".join(str(error).split())
        raise ConfigError(
            f"{path} is no INI file that vPoller could read: {fault}; correct it there"
        ) from error


def _text(path: str) -> str:
    try:
        with open(path, encoding="utf-8") as file:
            return file.read()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error}; save it as UTF-8") from error
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; name vPoller's INI file"
        ) from error


def _entries(
    parser: configparser.ConfigParser, path: str, lines: Mapping[tuple[str, str], int]
) -> Iterator[Entry]:
    for section in parser.sections():
        # With what [DEFAULT] gives it, as vPoller reads it.
        for key, value in parser.items(section):
            line = lines.get((section, key)) or lines.get((parser.default_section, key))
            yield Entry(section, key, value.strip(), path, line)


def _lines(text: str) -> dict[tuple[str, str], int]:
    """Find the line of each key, which the parser does not tell."""
    found: dict[tuple[str, str], int] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := _SECTION.match(line):
            section = header["name"]
        elif key := _KEY.match(line):
            found.setdefault((section, key["name"].lower()), number)
    return found
