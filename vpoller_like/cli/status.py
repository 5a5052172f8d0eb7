"""``vpoller status``: how the broker is."""

from __future__ import annotations

import click

from vpoller_like.cli.admin import admin_options, admin_settings, ask, show
from vpoller_like.cli.output import output_option
from vpoller_like.cli.session import Session


@click.command("status")
@admin_options
@output_option
@click.pass_obj
def command(session: Session, admin: str | None, timeout: int | None, output: str | None) -> int:
    """Show how the broker is: its endpoints, queues and counters."""
    return show(ask(admin_settings(session, admin, timeout), "status"), output)
