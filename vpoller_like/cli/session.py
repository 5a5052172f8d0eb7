"""What the global options say: the file of settings, and how much is logged.

It is what verbs of agents' packages get as well, there called
:class:`~vpoller_like.agent.commands.Console`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any

import click
import msgspec

from vpoller_like.cli.exits import Exit
from vpoller_like.cli.output import emit, note
from vpoller_like.errors import ConfigError
from vpoller_like.loading import Loaded, load
from vpoller_like.sources import Layer


class BadSettings(click.ClickException):
    """The settings are wrong, which is the user's to correct."""

    exit_code = Exit.USAGE


class Session(msgspec.Struct):
    """One run of ``vpoller``."""

    config: str | None = None
    verbosity: int = 0
    #: What options of several verbs say, as for :meth:`load`.
    flags: dict[str, Any] = {}
    #: Settings read from files that are not ours.
    layers: list[Layer] = []

    def load(self, **flags: Any) -> Loaded:
        """Load the settings under ``flags``, as in ``broker__frontend="tcp://..."``."""
        said = self.flags | flags
        try:
            flags = {key.replace("__", "."): said[key] for key in said}
            return load(self.config, flags, layers=self.layers)
        except ConfigError as error:
            raise BadSettings(error.message) from error

    def section(self, agent: str) -> Mapping[str, Any]:
        """Return the section ``[agents.AGENT]``, whose secrets are in no log from here on."""
        from vpoller_like.agent.secrets import settings_secrets
        from vpoller_like.agent.vault import VAULT, guard_logs

        section = self.load().settings.agents.get(agent, {})
        VAULT.keep(settings_secrets(section))
        guard_logs()
        return section

    def emit(self, data: Any, output: str | None = None) -> None:
        """Write ``data`` to stdout, in the format ``output``."""
        emit(data, output)

    def note(self, text: str) -> None:
        """Say something that is no data, on stderr, and no secret."""
        from vpoller_like.agent.vault import VAULT

        note(VAULT.hide(text))

    def start_logging(self, service: bool = False) -> None:
        """Log to stderr: warnings; and what happens, for a ``service``; more for each ``-v``."""
        if not service and not self.verbosity:
            return  # warnings go to stderr as it is, and importing takes its time
        import logging

        quietest = logging.INFO if service else logging.WARNING
        logging.basicConfig(
            level=max(logging.DEBUG, quietest - 10 * self.verbosity),
            format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
            stream=sys.stderr,
            force=True,
        )

    def forwarded(self) -> list[str]:
        """Return the global options that give a child the same session."""
        return [*(["--config", self.config] if self.config else []), *["-v"] * self.verbosity]
