"""``vpoller workers``: who is registered with the broker."""

from __future__ import annotations

from typing import Any

import click

from vpoller_like.cli.admin import admin_options, admin_settings, ask, show
from vpoller_like.cli.output import note, output_option, wants_table
from vpoller_like.cli.session import Session


@click.command("workers")
@admin_options
@output_option
@click.pass_obj
def command(session: Session, admin: str | None, timeout: int | None, output: str | None) -> int:
    """List the workers that are registered with the broker."""
    reply = ask(admin_settings(session, admin, timeout), "workers")
    if reply.get("result") == [] and wants_table(output):
        note("No worker is registered; start one with `vpoller worker run`.")
        return 0
    return show(reply, output, _table)


def _table(workers: list[dict[str, Any]]) -> str:
    from vpoller_like.cli.tables import draw, rows

    return draw(rows([_line(worker) for worker in workers]))


def _line(worker: dict[str, Any]) -> dict[str, Any]:
    """A worker without hosts of its own serves any; its random id is for programs."""
    shown = {key: value for key, value in worker.items() if key != "instance"}
    return shown if worker.get("hosts") else {**shown, "hosts": "any"}
