"""A click group that imports a verb's module when the verb is used."""

from __future__ import annotations

import importlib

import click

from vpoller_like.cli.plugins import Plugins


class LazyGroup(click.Group):
    """Holds, for each verb, the module whose ``command`` it is; others' verbs come after.

    ``vpoller call`` must not pay for importing what ``vpoller broker`` needs, nor for looking
    for what others bring.
    """

    def __init__(self, *args: object, verbs: dict[str, str], **attrs: object) -> None:
        super().__init__(*args, **attrs)  # type: ignore[arg-type]
        self._verbs = verbs
        self._plugins = Plugins(verbs)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return our verbs in the order in which they were declared, then the others'."""
        del ctx
        return [*self._verbs, *self._plugins.names()]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the verb's command; ``None`` where there is no such verb."""
        del ctx
        if cmd_name not in self._verbs:
            return self._plugins.command(cmd_name)
        command = importlib.import_module(self._verbs[cmd_name]).command
        if not isinstance(command, click.Command):
            raise TypeError(f"{self._verbs[cmd_name]}.command is no command")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs, and then what keeps others' verbs from being used."""
        super().format_commands(ctx, formatter)
        warnings = self._plugins.warnings()
        if warnings:
            with formatter.section("Warnings"):
                for warning in warnings:
                    formatter.write_text(warning)
