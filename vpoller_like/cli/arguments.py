"""A request's parameters, from the command line and from stdin."""

from __future__ import annotations

import select
import stat
import sys
from collections.abc import Callable, Iterable
from typing import Any, BinaryIO

import click
import msgspec

from vpoller_like.cli.output import note
from vpoller_like.errors import ProtocolError
from vpoller_like.protocol.encoding import decode_object
from vpoller_like.protocol.limits import MAX_FRAME

#: Seconds that a pipe has to begin, where nobody said that something comes.
PATIENCE = 1.0


def parse_arguments(arguments: Iterable[str]) -> dict[str, Any]:
    """Read ``key=text``, ``key:=json`` and ``key@=file``; raise ``click.UsageError`` on others.

    No message quotes what may be a value: it may be a password, and stderr a log.
    """
    fields: dict[str, Any] = {}
    for place, argument in enumerate(arguments, 1):
        key, value = _parse(argument, place)
        if key in fields:
            raise click.UsageError(f"{key} is given twice; give it once")
        fields[key] = value
    return fields


def _parse(argument: str, place: int) -> tuple[str, Any]:
    name, equals, text = argument.partition("=")
    sign = name[-1:] if name[-1:] in _READERS else ""
    key = name.removesuffix(sign)
    if not equals or not key:
        raise click.UsageError(
            f"word {place} after the method is no parameter; write key=text, key:=json such as "
            "count:=3, or key@=file"
        )
    if key == "method":
        raise click.UsageError("the method is the first argument, not a parameter")
    return key, _READERS[sign](key, text)


def _text(_: str, text: str) -> str:
    return text


def _json(key: str, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except (ValueError, RecursionError) as error:
        raise click.UsageError(
            f"{key}: what follows := is not JSON: {error}; quote it for the shell, as in "
            f"""{key}:='["name"]'; for text write {key}=text"""
        ) from error


def _file(key: str, path: str) -> str:
    """Read a text that is in no list of processes; the newline at its end is the editor's."""
    try:
        with open(path, encoding="utf-8", newline="") as file:
            text = file.read(MAX_FRAME + 1)
    except OSError as error:
        raise click.UsageError(f"{key}: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError:
        raise click.UsageError(f"{key}: {path} is not UTF-8 text") from None
    if len(text) > MAX_FRAME:
        raise click.UsageError(f"{key}: {path} is larger than the {MAX_FRAME} bytes of a request")
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")


#: What reads a value, by what stands between its key and the equals sign.
_READERS: dict[str, Callable[[str, str], Any]] = {"": _text, ":": _json, "@": _file}


def read_stdin(wanted: bool | None) -> dict[str, Any]:
    """Return the JSON object on stdin; ``{}`` where there is none.

    ``wanted`` is what the user said of stdin: True waits for it as long as it takes, False
    leaves it alone. ``None`` reads a file or a pipe, but gives up on a pipe that does not
    begin within ``PATIENCE``: many programs start others with a pipe that never ends.
    Raises ``click.UsageError`` where stdin holds something else than one JSON object.
    """
    if wanted is False or sys.stdin is None or sys.stdin.closed:
        return {}
    stream = sys.stdin.buffer
    if wanted is None and not _has_content(stream):
        return {}
    return _parse_stdin(stream.read(MAX_FRAME + 1))


def _has_content(stream: BinaryIO) -> bool:
    """Say whether a file, or a pipe that has begun, stands behind ``stream``."""
    try:
        mode = _mode(stream)
    except OSError:  # no descriptor: a test's stream
        return not stream.isatty()
    if stat.S_ISREG(mode):
        return True
    if not stat.S_ISFIFO(mode) and not stat.S_ISSOCK(mode):
        return False
    # A socket is what services get for stdin; nobody pipes into one by hand.
    ready, _, _ = select.select([stream], [], [], PATIENCE if stat.S_ISFIFO(mode) else 0)
    if not ready and stat.S_ISFIFO(mode):
        note(f"Nothing came on stdin within {PATIENCE:g} s; going on without (see --stdin).")
    return bool(ready)


def _mode(stream: BinaryIO) -> int:
    import os

    return os.fstat(stream.fileno()).st_mode


def _parse_stdin(data: bytes) -> dict[str, Any]:
    if not data.strip():
        return {}
    try:
        return decode_object(data)
    except ProtocolError as error:
        raise click.UsageError(
            f"stdin: {error.message}; give one JSON object there, or --no-stdin to leave it alone"
        ) from error
