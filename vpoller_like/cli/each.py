"""``vpoller call --each``: many requests, a reply for each."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click
import msgspec

from vpoller_like.cli.arguments import parse_arguments
from vpoller_like.cli.exits import Exit, exit_for
from vpoller_like.cli.lines import Lines
from vpoller_like.cli.output import emit, emit_line, emit_text, note
from vpoller_like.cli.progress import Progress, size_of

if TYPE_CHECKING:
    from vpoller_like.client import LocalClient, VPollerClient


class Each:
    """Asks for what stands on each line of a file, and writes the replies in order.

    ``fallback`` holds what a request has where its line does not say it; ``window`` is how
    many may be unanswered; ``output`` is one of the formats, or None for JSON Lines. With
    ``fail_fast`` it ends at the first failure.
    """

    def __init__(
        self, fallback: Mapping[str, Any], window: int, output: str | None, fail_fast: bool
    ) -> None:
        self._fallback = fallback
        self._window = window
        self._output = output
        self._fail_fast = fail_fast
        #: The first failure, in words.
        self._first = ""
        self._exit = Exit.OK

    def run(self, client: VPollerClient | LocalClient, fileno: int) -> Exit:
        """Ask ``client``; return the exit code: that of the first failure, if any."""
        lines = Lines(fileno, self._fallback)
        with Progress(size_of(fileno)) as progress:
            self._answer(client.map(lines, self._window), lines, progress)
        if self._first:
            note(f"Error: {progress.failed} of {progress.done} failed; {self._first}")
        return self._exit

    def _answer(self, replies: Iterator[dict[str, Any]], lines: Lines, progress: Progress) -> None:
        for reply in replies:
            place = lines.answered()
            failed = reply.get("success", 0) != 0
            write(reply, self._output)
            progress.advance(failed, place.end)
            if failed and not self._first:
                self._remember(reply, place.number)
                if self._fail_fast:
                    return

    def _remember(self, reply: dict[str, Any], number: int) -> None:
        error = reply.get("error")
        details = error if isinstance(error, Mapping) else {}
        told = str(details.get("detail") or reply.get("msg") or "the task failed")
        line = f"line {number}: "
        self._first = f"the first is {line}{told.removeprefix(line)}"
        self._exit = exit_for(str(details.get("code", "")), details)


def fallback(method: str | None, host: str | None, parameters: tuple[str, ...]) -> dict[str, Any]:
    """Return what the command line says for the lines that do not say it."""
    if method is not None and "=" in method:
        parameters = (method, *parameters)
        method = None
    said = parse_arguments(parameters)
    if method is not None and method != "-":
        said["method"] = method
    if host is not None:
        said["hostname"] = host
    return said


def stdin_fileno(wanted: bool | None) -> int:
    """Return where the lines come from; raise ``click.UsageError`` where that may not be."""
    if wanted is False or sys.stdin is None or sys.stdin.closed:
        raise click.UsageError("--each reads its requests from stdin; give them there")
    if sys.stdin.isatty():
        note("Write a JSON object on each line; Ctrl-D ends.")
    return sys.stdin.fileno()


def write(reply: dict[str, Any], output: str | None) -> None:
    """Write one of many replies: as a line of JSON, unless ``output`` says otherwise."""
    if output == "yaml":
        emit_text("---")
        emit(reply, output)
    elif output == "table":
        emit(reply, output)
    else:
        emit_line(msgspec.json.encode(reply))
