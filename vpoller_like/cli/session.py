"""What the global options say: the file of settings, and how much is logged."""

from __future__ import annotations

import sys
from typing import Any

import click
import msgspec

from vpoller_like.cli.exits import Exit
from vpoller_like.errors import ConfigError
from vpoller_like.loading import Loaded, load


class BadSettings(click.ClickException):
    """The settings are wrong, which is the user's to correct."""

    exit_code = Exit.USAGE


class Session(msgspec.Struct):
    """One run of ``vpoller``."""

    config: str | None = None
    verbosity: int = 0
    #: What options of several verbs say, as for :meth:`load`.
    flags: dict[str, Any] = {}

    def load(self, **flags: Any) -> Loaded:
        """Load the settings under ``flags``, as in ``broker__frontend="tcp://..."``."""
        said = self.flags | flags
        try:
            return load(self.config, {key.replace("__", "."): said[key] for key in said})
        except ConfigError as error:
            raise BadSettings(error.message) from error

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
