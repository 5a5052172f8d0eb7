"""``vpoller host``: the vCenters and ESXi hosts that the agent serves."""

from __future__ import annotations

from typing import Any

import click

from vpoller_like.agent.commands import Console, output_option, pass_console
from vpoller_like.errors import ConfigError
from workers.vsphere.hosts import options, vconnector
from workers.vsphere.hosts.keeper import Keeper, changed, check
from workers.vsphere.hosts.record import Record, Source
from workers.vsphere.hosts.settings import HostSettings
from workers.vsphere.hosts.trial import try_all

#: What ``list`` shows; ``show`` has the rest.
_COLUMNS = ("host", "port", "user", "password", "enabled", "origin")


@click.group("host")
def command() -> None:
    """Keep the vCenters and ESXi hosts that the agent vsphere serves.

    They are in a database, beside those in the settings; running workers take a change up
    within seconds. Passwords are encrypted there, or are where you say; none is ever shown.
    """


def keeper_of(console: Console, database: str = "") -> Keeper:
    """Return the keeper of the hosts that the settings of ``console`` mean."""
    return Keeper(console.section("vsphere"), database)


@command.command("add")
@click.argument("host")
@click.option("--user", metavar="USER", help="Whom to log in as.")
@click.option("--port", type=click.IntRange(1, 65535), help="443 unless said.")
@options.password_options
@options.trust_options
@options.limit_options
@click.option("--disabled", is_flag=True, help="Do not serve it until it is enabled.")
@click.option("--replace", is_flag=True, help="Change a host that is there, in what you say.")
@pass_console
def add(
    console: Console,
    host: str,
    user: str | None,
    disabled: bool,
    replace: bool,
    password_file: str | None,
    password_env: str | None,
    password_command: str | None,
    **more: Any,
) -> None:
    """Add HOST, a name or an address, which requests then name as their hostname.

    Its password is asked for without echo, or read from stdin; or it stays where you say, and
    is read there at each login. It cannot be given on the command line, which others see.
    """
    keeper = keeper_of(console)
    keeper.refuse_listed(host)
    source = options.referred(password_file, password_env, password_command)
    said = options.said(user=user, **more)
    before = keeper.store.find(host)
    if before is None or not replace:
        _add(keeper, _new(host, said), source, not disabled)
        console.note(f"{host} is added: {keeper.store.path}\nTo try it: vpoller host test {host}")
        return
    if source is None and not said and not disabled:
        source = options.asked(keeper, host)
        # Somebody else may have changed the host while this waited for an answer.
        before = keeper.store.find(host) or before
    settings = changed(before.settings, said)
    keeper.put([Record(settings, source or before.source, before.enabled and not disabled)])
    console.note(f"{host} is changed: {keeper.store.path}")


def _new(host: str, said: dict[str, Any]) -> HostSettings:
    if "user" not in said:
        raise click.UsageError("--user is missing: whom to log in as")
    return HostSettings(host=host, **said)


def _add(keeper: Keeper, settings: HostSettings, source: Source | None, enabled: bool) -> None:
    # Before anybody is asked for a password.
    keeper.refuse_present(settings.host)
    check(settings)
    keeper.add(Record(settings, source or options.asked(keeper, settings.host), enabled))


@command.command("list")
@output_option
@pass_console
def list_(console: Console, output: str | None) -> None:
    """List the hosts, those of the settings too."""
    rows = keeper_of(console).rows()
    console.emit([{name: row[name] for name in _COLUMNS} for row in rows], output)


@command.command("show")
@click.argument("host")
@output_option
@pass_console
def show(console: Console, host: str, output: str | None) -> None:
    """Show all about HOST but its password."""
    console.emit(keeper_of(console).row(host), output)


@command.command("enable")
@click.argument("host")
@pass_console
def enable(console: Console, host: str) -> None:
    """Serve HOST again."""
    keeper = keeper_of(console)
    keeper.enable(host, True)
    console.note(f"{host} is enabled: {keeper.store.path}")


@command.command("disable")
@click.argument("host")
@pass_console
def disable(console: Console, host: str) -> None:
    """Serve HOST no more, and keep it; requests for it are told so by `unknown_host`."""
    keeper = keeper_of(console)
    keeper.enable(host, False)
    console.note(f"{host} is disabled: {keeper.store.path}")


@command.command("remove")
@click.argument("host")
@pass_console
def remove(console: Console, host: str) -> None:
    """Remove HOST, and its password."""
    keeper = keeper_of(console)
    keeper.remove(host)
    console.note(f"{host} is removed: {keeper.store.path}")


@command.command("test")
@click.argument("hosts", nargs=-1, metavar="[HOST]...")
@output_option
@pass_console
def test(console: Console, hosts: tuple[str, ...], output: str | None) -> int:
    """Log in at each HOST, or at all that are enabled, and show what it is.

    What is in the way of it is told as a worker would tell it. The exit code is 1 where one
    of them does not let us in.
    """
    wanted = keeper_of(console).to_try(hosts)
    if not wanted:
        raise ConfigError("there is no enabled host to test; `vpoller host add` adds one")
    rows = try_all(wanted)
    console.emit(rows, output)
    return 0 if all(row["ok"] for row in rows) else 1


@command.command("import")
@click.argument("file", default=vconnector.USUAL_FILE)
@click.option("--replace", is_flag=True, help="Take hosts that are here with another password.")
@options.trust_options
@output_option
@pass_console
def import_(console: Console, file: str, replace: bool, output: str | None, **trust: Any) -> int:
    """Take over the hosts of vConnector from FILE, its database.

    Passwords are encrypted, and enabled hosts stay so. It can be said again: what is here is
    left as it is. vConnector checks no certificates; say whom to trust, for all of them.
    The exit code is 1 where a host was left out.
    """
    keeper = keeper_of(console)
    rows = vconnector.Taking(keeper, options.said(**trust), replace).take(
        vconnector.read_hosts(file)
    )
    console.emit(rows, output)
    console.note(f"{file} still holds passwords in plain text; remove it when you are done.")
    return 1 if any(row["result"] == "left" for row in rows) else 0
