"""``vpoller broker``: run one, drain one."""

from __future__ import annotations

import click

from vpoller_like.cli.admin import admin_options, admin_settings, ask
from vpoller_like.cli.credentials import broker_key_options
from vpoller_like.cli.doors import door_options
from vpoller_like.cli.drain import drain_broker, wait_option
from vpoller_like.cli.exits import Exit
from vpoller_like.cli.failure import fail
from vpoller_like.cli.output import note
from vpoller_like.cli.session import Session
from vpoller_like.keys import KeyDirectory


@click.group("broker")
def command() -> None:
    """Run the broker, which hands tasks to workers."""


@command.command("run")
@door_options
@broker_key_options
@click.pass_obj
def run(
    session: Session,
    frontend: str | None,
    backend: str | None,
    plain: str | None,
    admin: str | None,
) -> int:
    """Run a broker until SIGTERM, which lets accepted tasks finish; a second one does not."""
    session.start_logging(service=True)
    settings = session.load(
        broker__frontend=frontend,
        broker__backend=backend,
        broker__plain=plain,
        broker__admin=admin,
    ).settings
    from vpoller_like.broker import run_broker

    return run_broker(settings.broker, KeyDirectory(settings.security.keys))


@command.command("stop")
@admin_options
@click.pass_obj
def stop(session: Session, admin: str | None, timeout: int | None) -> int:
    """Ask a running broker to finish what it has accepted, and to end."""
    settings = admin_settings(session, admin, timeout)
    reply = ask(settings, "shutdown")
    if reply.get("success") != 0:
        return fail(reply)
    note(f"The broker at {settings.admin} is shutting down.")
    return Exit.OK


@command.command("drain")
@wait_option
@admin_options
@click.pass_obj
def drain(session: Session, admin: str | None, timeout: int | None, wait: float) -> int:
    """Have a broker finish what it has accepted, accept nothing new, and end."""
    return drain_broker(admin_settings(session, admin, timeout), wait)
