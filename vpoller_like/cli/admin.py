"""Questions to a broker's admin endpoint, for the verbs that look."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from vpoller_like.cli.credentials import connected, key_options, with_key_files
from vpoller_like.cli.exits import Exit
from vpoller_like.cli.failure import fail
from vpoller_like.cli.output import emit
from vpoller_like.cli.session import Session
from vpoller_like.config import ClientSettings

_Command = TypeVar("_Command", bound=Callable[..., Any])


def admin_options(function: _Command) -> _Command:
    """Give a command ``--admin``, ``--timeout``, and the flags for keys."""
    timeout = click.option("--timeout", type=int, metavar="MS", help="Milliseconds per try.")
    where = click.option("--admin", metavar="EP", help="The broker's admin endpoint.")
    return where(timeout(key_options("client")(function)))


def admin_settings(session: Session, admin: str | None, timeout: int | None) -> ClientSettings:
    """Return the client's settings under these flags."""
    settings = session.load(client__admin=admin, client__timeout=timeout).settings
    return with_key_files(settings)


def ask(settings: ClientSettings, question: str, **parameters: Any) -> dict[str, Any]:
    """Return the admin endpoint's reply, an error or silence included, as an envelope."""
    with connected(settings.admin, settings) as client:
        return client.run({"method": question, **parameters})


def show(
    reply: dict[str, Any], output: str | None, table: Callable[[Any], str] | None = None
) -> Exit:
    """Print the result of ``reply``, or say its error; return the exit code."""
    if reply.get("success") != 0:
        return fail(reply)
    emit(reply.get("result"), output, table)
    return Exit.OK
