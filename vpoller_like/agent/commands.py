"""For the verbs that an agent's package brings to ``vpoller``.

A verb is a click command that is registered by an entry point in group
``vpoller_like.commands``. What it needs of the program, it gets as click's object::

    @click.command("greetings")
    @output_option
    @pass_console
    def command(console: Console, output: str | None) -> None:
        \"\"\"List the greetings.\"\"\"
        console.emit(read(console.section("hello")), output)

An error of :mod:`vpoller_like.errors` that it raises is told in one sentence, and decides
about the exit code. Data goes to stdout, by :meth:`Console.emit` alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any, Protocol, TypeVar

import click

from vpoller_like.agent.vault import hide_from_now_on
from vpoller_like.errors import ConfigError
from vpoller_like.formats import output_option

__all__ = ["Console", "output_option", "pass_console", "read_secret"]

R = TypeVar("R")

#: Bytes of the longest secret that is read from stdin.
_LONGEST = 4096


class Console(Protocol):
    """What the program gives to a verb."""

    def section(self, agent: str) -> Mapping[str, Any]:
        """Return the section ``[agents.AGENT]`` of the settings, empty where there is none.

        What is named as a secret in it is in no log and no error from here on.
        """

    def emit(self, data: Any, output: str | None = None) -> None:
        """Write ``data``, which JSON can hold, to stdout, as ``output`` of the option says."""

    def note(self, text: str) -> None:
        """Say something that is no data, on stderr."""


def pass_console(function: Callable[..., R]) -> Callable[..., R]:
    """Pass the :class:`Console` to a command, as its first argument."""
    return click.pass_obj(function)


def read_secret(what: str) -> str:
    """Ask for a secret without echo; where stdin is no terminal, it is what is there.

    A newline at its end is no part of it. From here on it is in no log and no error. Raises
    ``ConfigError`` where there is nothing, or more than one line; ``what`` names it.
    """
    if sys.stdin.isatty():
        secret: str = click.prompt(what, hide_input=True, err=True)
    else:
        secret = _piped(what)
    if not secret:
        raise ConfigError(f"{what}: nothing was given on stdin; write it there")
    hide_from_now_on(secret)
    return secret


def _piped(what: str) -> str:
    data = sys.stdin.buffer.read(_LONGEST + 1)
    line = data.removesuffix(b"\n").removesuffix(b"\r")
    try:
        if len(data) <= _LONGEST and b"\n" not in line:
            return line.decode()
    except UnicodeDecodeError:
        pass  # Its text would tell what was given.
    raise ConfigError(f"{what}: write it alone to stdin, as one line of UTF-8 text")
