"""What ``vpoller host add`` is told: the host's settings, and where its password is."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable
from typing import Any, TypeVar

import click

from vpoller_like.agent.commands import read_secret
from workers.vsphere.hosts.keeper import Keeper
from workers.vsphere.hosts.record import Source

Command = TypeVar("Command", bound=Callable[..., Any])

_MILLISECONDS = click.IntRange(1, 3_600_000)


def trust_options(function: Command) -> Command:
    """Give a command the options that say whom to trust."""
    for option in (
        click.option("--verify/--no-verify", default=None, help="Check the certificate, or not."),
        click.option("--thumbprint", metavar="HEX", help="The one certificate to trust."),
        click.option("--ca-file", metavar="FILE", help="PEM file of the authorities to trust."),
    ):
        function = option(function)
    return function


def limit_options(function: Command) -> Command:
    """Give a command the options that limit times and calls."""
    for option in (
        click.option("--max-calls", type=click.IntRange(1, 256), help="Calls at once."),
        click.option("--max-names", type=click.IntRange(0, 1_000_000), help="Names kept at hand."),
        click.option("--connect-timeout-ms", type=_MILLISECONDS, help="Time to connect."),
        click.option("--timeout-ms", type=_MILLISECONDS, help="Silence that ends a call."),
    ):
        function = option(function)
    return function


def password_options(function: Command) -> Command:
    """Give a command the options that say where the password is."""
    for option in (
        click.option(
            "--password-command",
            metavar="COMMAND",
            help="A command that prints it, asked at each login; no shell is.",
        ),
        click.option("--password-env", metavar="NAME", help="A variable of the worker's."),
        click.option("--password-file", metavar="FILE", help="A file, read at each login."),
    ):
        function = option(function)
    return function


def said(**options: Any) -> dict[str, Any]:
    """Return the options that were given."""
    return {name: value for name, value in options.items() if value is not None}


def referred(
    password_file: str | None, password_env: str | None, password_command: str | None
) -> Source | None:
    """Return where the password is, if that was said; raise ``UsageError`` if twice."""
    given = said(file=password_file, env=password_env, command=password_command)
    if len(given) > 1:
        raise click.UsageError(
            "--password-file, --password-env and --password-command: give one of them"
        )
    for name, value in given.items():
        if not value.strip():
            raise click.UsageError(f"--password-{name}: it is empty")
    if password_command is not None:
        return Source.of_command(_words(password_command))
    if password_file is not None:
        # A worker has another directory to be in.
        return Source("file", os.path.abspath(os.path.expanduser(password_file)).encode())
    return None if password_env is None else Source("environment", password_env.encode())


def asked(keeper: Keeper, host: str) -> Source:
    """Ask for a password, on the terminal or on stdin, and encrypt it."""
    return keeper.encrypted(host, read_secret(f"Password for {host}"))


def _words(command: str) -> list[str]:
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise click.UsageError(f"--password-command: {error}; check its quotes") from error
    if not all(words):
        raise click.UsageError("--password-command: a word of it is empty")
    return words
