"""How data is written to stdout: as a table, as JSON or as YAML."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click
import msgspec

from vpoller_like.cli.exits import Exit
from vpoller_like.formats import FORMATS, output_option

__all__ = [
    "FORMATS",
    "emit",
    "emit_line",
    "emit_text",
    "note",
    "output_option",
    "wants_table",
]


def wants_table(output: str | None) -> bool:
    """Say whether data is to be a table: asked for, or unsaid on a terminal."""
    return output == "table" or (output is None and sys.stdout.isatty())


def emit(data: Any, output: str | None = None, table: Callable[[Any], str] | None = None) -> None:
    """Write ``data``, which JSON can hold, to stdout.

    ``output`` is one of ``FORMATS``, or ``None`` for what suits where stdout goes.
    ``table`` turns the data into the text of a table where the usual way does not do.
    """
    if wants_table(output):
        _write((table or _usual_table())(data).encode())
    elif output == "yaml":
        _write(_yaml(data))
    else:
        _write(msgspec.json.format(msgspec.json.encode(data), indent=2) + b"\n")


def emit_text(text: str) -> None:
    """Write text that is data as it stands."""
    _write(f"{text.rstrip()}\n".encode())


def emit_line(line: bytes) -> None:
    """Write a line that is one of many."""
    _write(line + b"\n")


def note(text: str) -> None:
    """Say something that is no data, on stderr."""
    click.echo(text, err=True)


def _usual_table() -> Callable[[Any], str]:
    # Here, because rich is slow to import and a pipe does not need it.
    from vpoller_like.cli.tables import render

    return render


def _yaml(data: Any) -> bytes:
    import yaml

    text: str = yaml.safe_dump(data, allow_unicode=True, sort_keys=False)
    return text.removesuffix("...\n").encode()


def _write(data: bytes) -> None:
    """Write all of ``data`` now, so that a reader that went away is met here."""
    try:
        click.echo(data, nl=False)
        sys.stdout.flush()
    except BrokenPipeError:
        # What is buffered still would be written, and complained of, at the interpreter's end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise click.exceptions.Exit(Exit.BROKEN_PIPE) from None
