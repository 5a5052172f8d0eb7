"""What ``vpoller-proxy`` and ``vpoller-worker`` have in common: actions, and the INI file."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

import click

from vpoller_like.cli.output import note
from vpoller_like.cli.session import BadSettings, Session
from vpoller_like.cli.upstream import ini, mapping
from vpoller_like.cli.upstream.mapping import Fate
from vpoller_like.cli.upstream.script import common_options
from vpoller_like.errors import ConfigError

_Command = TypeVar("_Command", bound=Callable[..., Any])

ACTIONS = ("start", "stop", "status")
#: Milliseconds that a try of a question to a broker may take: vPoller's.
PATIENCE = 1000


def service_options(function: _Command) -> _Command:
    """Give a command the action, ``-f`` and ``-e``, as vPoller's services have them."""
    file = click.option(
        "-f",
        "--file",
        metavar="CONFIG",
        help=f"vPoller's INI file.  [default: {ini.DEFAULT_FILE}, if it is there]",
    )
    endpoint = click.option(
        "-e", "--endpoint", metavar="EP", help="The admin endpoint of the broker to ask."
    )
    action = click.argument("action", type=click.Choice(ACTIONS))
    return action(common_options(file(endpoint(function))))


def require_fitting(action: str, endpoint: str | None, **others: object) -> None:
    """Raise ``click.UsageError`` for an option that goes with another action."""
    if action == "start" and endpoint is not None:
        raise click.UsageError("-e goes with stop and status")
    for name, value in others.items():
        if action != "start" and value is not None:
            raise click.UsageError(f"--{name} goes with start")


def take_file(session: Session, named: str | None, section: str) -> list[Fate]:
    """Have ``session`` load the file's settings for ``section``; say what becomes of each.

    ``named`` is the file that was asked for; another one need not be there. Raises
    ``BadSettings``.
    """
    path = ini.DEFAULT_FILE if named is None else named
    if named is None and not os.path.exists(path):
        note(f"There is no {path}: the settings are those of vpoller.toml (`vpoller config show`).")
        return []
    try:
        fates = mapping.fates(ini.read(path), _sections(section))
    except ConfigError as error:
        raise BadSettings(error.message) from error
    for fate in fates:
        note(str(fate))
    session.layers.append(mapping.layer(fates))
    return fates


def _sections(section: str) -> tuple[str, ...]:
    return (section, "cache") if section == "worker" else (section,)
