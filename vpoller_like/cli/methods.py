"""``vpoller methods``: what can be asked, and with which parameters."""

from __future__ import annotations

from typing import Any

import click

from vpoller_like.cli.admin import admin_options, admin_settings, ask, show
from vpoller_like.cli.exits import Exit
from vpoller_like.cli.failure import fail
from vpoller_like.cli.output import emit, note, output_option, wants_table
from vpoller_like.cli.session import Session
from vpoller_like.config import ClientSettings

_COLUMNS = ("method", "agent", "hosts", "workers", "queued", "doc")


@click.command("methods")
@click.argument("method", required=False)
@admin_options
@output_option
@click.pass_obj
def command(
    session: Session,
    method: str | None,
    admin: str | None,
    timeout: int | None,
    output: str | None,
) -> int:
    """List the methods that are served; of one METHOD, show its parameters."""
    settings = admin_settings(session, admin, timeout)
    return _list(settings, output) if method is None else _describe(settings, method, output)


def _list(settings: ClientSettings, output: str | None) -> int:
    reply = ask(settings, "methods")
    if reply.get("result") == [] and wants_table(output):
        note("No method is served; start a worker with `vpoller worker run`.")
        return Exit.OK
    return show(reply, output, _table)


def _describe(settings: ClientSettings, method: str, output: str | None) -> int:
    reply = ask(settings, "methods", name=method)
    if reply.get("success") != 0:
        return fail(reply)
    if not reply["result"]:
        note(f"Error: no worker serves {method}; {_suggestion(settings, method)}")
        return Exit.NOT_FOUND
    for entry in reply["result"]:
        emit(entry, output, _description)
    return Exit.OK


def _suggestion(settings: ClientSettings, method: str) -> str:
    import difflib

    served = [entry["method"] for entry in ask(settings, "methods").get("result") or []]
    near = difflib.get_close_matches(method, served, 1, 0.4)
    return f"did you mean {near[0]}?" if near else "`vpoller methods` lists what is served"


def _table(methods: list[dict[str, Any]]) -> str:
    from vpoller_like.cli.tables import draw, rows

    return draw(rows([_line(method) for method in methods], _COLUMNS))


def _line(method: dict[str, Any]) -> dict[str, Any]:
    first, *_ = str(method.get("doc") or "").splitlines() or [""]
    return {**method, "hosts": method.get("hosts") or "any", "doc": first}


def _description(method: dict[str, Any]) -> str:
    """A method's facts, and beneath them its parameters."""
    from vpoller_like.cli.tables import draw, pairs, rows

    facts = {**method, "hosts": method.get("hosts") or "any"}
    parameters = facts.pop("params", None) or []
    if not parameters:
        return draw(pairs({**facts, "params": "none"}))
    return draw(pairs(facts), "", rows([_parameter(each) for each in parameters]))


def _parameter(parameter: dict[str, Any]) -> dict[str, Any]:
    shown = {("parameter" if key == "name" else key): parameter[key] for key in parameter}
    return {key: value for key, value in shown.items() if key != "secret" or value}
