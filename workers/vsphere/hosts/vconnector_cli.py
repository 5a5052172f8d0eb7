"""``vconnector-cli``: the program of vConnector, with its flags, on the database of hosts."""

from __future__ import annotations

from typing import Any

import click

from vpoller_like.agent import hide_from_now_on
from vpoller_like.agent.commands import Console, pass_console
from workers.vsphere.hosts.commands import keeper_of
from workers.vsphere.hosts.keeper import Keeper, changed
from workers.vsphere.hosts.record import Record
from workers.vsphere.hosts.settings import HostSettings

_LINES = (
    "[-D] [-d DB] init",
    "[-D] [-d DB] get",
    "[-D] [-d DB] -H HOST (enable|disable|remove)",
    "[-D] [-d DB] -H HOST -U USER -P PWD (add|update)",
    "(-h|-v)",
)
_ACTIONS = ("init", "get", "add", "update", "remove", "enable", "disable")
_HEADERS = ("Hostname", "Username", "Password", "Enabled")


class _Command(click.Command):
    """Shows its usage as vConnector's does: which flags go with which action."""

    def format_usage(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for number, line in enumerate(_LINES):
            formatter.write_usage(ctx.command_path, line, "Usage: " if not number else "       ")


@click.command(
    "vconnector-cli",
    cls=_Command,
    hidden=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.argument("action", type=click.Choice(_ACTIONS), metavar="ACTION")
@click.option("-D", "--debug", is_flag=True, help="Taken, and of no effect.")
@click.option("-d", "--database", metavar="DB", default="", help="The database of hosts.")
@click.option("-H", "--host", metavar="HOST", default="", help="The vSphere host.")
@click.option("-U", "--user", metavar="USER", default="", help="Whom to log in as.")
@click.option("-P", "--pwd", metavar="PWD", default="", help="The password; others may see it.")
@click.version_option(None, "-v", "--version", package_name="vpoller-like")
@pass_console
def command(
    console: Console, action: str, database: str, host: str, user: str, pwd: str, **_: Any
) -> None:
    """Keep the vSphere hosts, as vConnector's program does; `vpoller host` can do more.

    The database is that of `vpoller host`, and passwords are encrypted in it: `get` does not
    show them. A host that is added is disabled, as it was with vConnector, until it is enabled.
    """
    hide_from_now_on(pwd)
    _require(action, host=host, user=user, pwd=pwd)
    keeper = keeper_of(console, database)
    match action:
        case "init":
            _init(console, keeper)
        case "get":
            click.echo(grid(_HEADERS, [_cells(row) for row in keeper.rows()]))
        case "add" | "update":
            _put(console, keeper, host, user, pwd)
        case "remove":
            keeper.remove(host)
        case _:
            keeper.enable(host, action == "enable")


def grid(headers: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a table with lines around each cell."""
    widths = [max(map(len, column)) for column in zip(headers, *rows, strict=True)]
    rule, head = (f"+{'+'.join(sign * (width + 2) for width in widths)}+" for sign in "-=")
    lines = [
        f"| {' | '.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))} |"
        for row in (headers, *rows)
    ]
    return "\n".join([rule, lines[0], head, *(part for line in lines[1:] for part in (line, rule))])


def _require(action: str, **given: str) -> None:
    needed = {
        "init": (),
        "get": (),
        "add": ("host", "user", "pwd"),
        "update": ("host", "user", "pwd"),
    }.get(action, ("host",))
    for name in needed:
        if not given[name]:
            raise click.UsageError(f"{action} needs --{name}")


def _init(console: Console, keeper: Keeper) -> None:
    keeper.store.make()
    keeper.key.make()
    console.note(f"{keeper.store.path} is there, and its key {keeper.key.path}")


def _put(console: Console, keeper: Keeper, host: str, user: str, pwd: str) -> None:
    """Add a host, or give one that is there another user and password."""
    before = keeper.store.find(host)
    settings = HostSettings(host=host, user=user)
    if before is not None:
        settings = changed(before.settings, {"user": user})
    enabled = before is not None and before.enabled
    keeper.put([Record(settings, keeper.encrypted(host, pwd), enabled)])
    console.note(
        "Notice: a password after -P can be seen by others, in the list of processes and in the "
        f"shell's history; `vpoller host add {host} --replace` asks for it instead."
    )


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    """Return what ``get`` shows of a host: where its password is, and never what it is."""
    return row["host"], row["user"], f"({row['password']})", str(int(row["enabled"]))
