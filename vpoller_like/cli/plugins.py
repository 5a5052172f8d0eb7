"""Verbs that agents' packages bring, by entry points of the group ``vpoller_like.commands``.

They are looked for when there is no verb of our own by that name, and for help. One that
cannot be used is no harm to the others: it is named in help, with the reason, and says it
when it is called.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any

import click

from vpoller_like.errors import AgentError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "vpoller_like.commands"


class Plugins:
    """The verbs of others; ``own`` are ours, whose names they cannot have."""

    def __init__(self, own: Collection[str]) -> None:
        self._own = own

    def names(self) -> list[str]:
        """Return their names, also of those that will turn out to be of no use."""
        return sorted(set(self._found()) - set(self._own))

    def command(self, name: str) -> click.Command | None:
        """Import and return the verb ``name``, or one that says why it cannot be used.

        ``None`` where nobody brings it.
        """
        entries = self._found().get(name)
        if entries is None:
            return None
        try:
            return _load(name, entries)
        except AgentError as error:
            return _complaint(name, error)

    def warnings(self) -> list[str]:
        """Return a sentence for each verb that cannot be used."""
        return list(self._warnings())

    def _warnings(self) -> Iterator[str]:
        for name, entries in sorted(self._found().items()):
            if name in self._own:
                yield f"{name} of {_givers(entries)} is not used: vpoller has a verb of that name"
                continue
            try:
                _load(name, entries)
            except AgentError as error:
                yield error.message

    @staticmethod
    def _found() -> dict[str, list[EntryPoint]]:
        """Return each name's entry points; a package that is found twice counts once."""
        # Here, because it takes longer than all else that one of our own verbs waits for.
        from importlib.metadata import entry_points

        found: dict[str, dict[str, EntryPoint]] = {}
        for entry in entry_points(group=GROUP):
            found.setdefault(entry.name, {}).setdefault(entry.value, entry)
        return {name: list(entries.values()) for name, entries in found.items()}


def _load(name: str, entries: list[EntryPoint]) -> click.Command:
    if len(entries) > 1:
        raise AgentError(
            f"{name} is not used, because {_givers(entries)} bring it each; uninstall all but one"
        )
    (entry,) = entries
    try:
        loaded = entry.load()
    except (Exception, SystemExit) as error:
        raise AgentError(
            f"{name} of {_givers(entries)} cannot be imported ({entry.value}): "
            f"{type(error).__name__}: {error}; reinstall what brings it, or uninstall it"
        ) from error
    if not isinstance(loaded, click.Command):
        raise AgentError(
            f"{name} of {_givers(entries)} ({entry.value}) is no click command; "
            "its author has to mend it"
        )
    return loaded


def _givers(entries: list[EntryPoint]) -> str:
    return " and ".join(sorted({entry.dist.name if entry.dist else "?" for entry in entries}))


def _complaint(name: str, error: AgentError) -> click.Command:
    """Return a verb that takes anything, and raises ``error``; lists leave it out."""

    def complain(**_: Any) -> None:
        raise error

    return click.Command(
        name,
        callback=complain,
        params=[click.Argument(["anything"], nargs=-1, type=click.UNPROCESSED)],
        context_settings={"ignore_unknown_options": True},
        add_help_option=False,
        hidden=True,
    )


def script() -> int:
    """Be the verb that is named as this program was called: ``vconnector-cli``, for one.

    So a package that brings a verb can make it a program as well, by a console script.
    """
    # Here, as that module needs this one.
    from vpoller_like.cli.main import run

    name = os.path.basename(sys.argv[0])
    command = Plugins(()).command(name)
    if command is None:
        click.echo(f"Error: no installed package brings {name} to vpoller", err=True)
        return 1
    return run(command, name)
