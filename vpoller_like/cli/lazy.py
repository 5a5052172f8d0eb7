"""A click group that imports a verb's module when the verb is used."""

from __future__ import annotations

import importlib

import click


class LazyGroup(click.Group):
    """Holds, for each verb, the module whose ``command`` it is.

    ``vpoller call`` must not pay for importing what ``vpoller broker`` needs.
    """

    def __init__(self, *args: object, verbs: dict[str, str], **attrs: object) -> None:
        super().__init__(*args, **attrs)  # type: ignore[arg-type]
        self._verbs = verbs

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the verbs in the order in which they were declared."""
        del ctx
        return list(self._verbs)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the verb's command; ``None`` where there is no such verb."""
        del ctx
        if cmd_name not in self._verbs:
            return None
        command = importlib.import_module(self._verbs[cmd_name]).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{self._verbs[cmd_name]}.command is no command")
        return command
