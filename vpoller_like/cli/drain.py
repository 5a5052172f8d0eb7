"""Draining, for the verbs that begin it: telling, and waiting until it is over."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click
import msgspec

from vpoller_like.cli.admin import ask
from vpoller_like.cli.exits import Exit
from vpoller_like.cli.failure import fail
from vpoller_like.cli.output import note
from vpoller_like.config import ClientSettings

#: Seconds between looks.
_POLL = 0.2
#: Milliseconds that a look may take.
_LOOK = 1000

_Command = TypeVar("_Command", bound=Callable[..., Any])


def wait_option(function: _Command) -> _Command:
    """Give a command ``--wait``, in seconds."""
    return click.option(
        "--wait",
        type=click.FloatRange(min=0),
        default=60.0,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for the end; 0 does not.",
    )(function)


def drain_worker(settings: ClientSettings, name: str, wait: float) -> Exit:
    """Have the worker ``name`` drain, and wait until it is gone."""
    reply = ask(settings, "worker.drain", name=name)
    if reply.get("success") != 0:
        return fail(reply)
    told = reply["result"]
    held = _count(told["held"], "task")
    note(f"Worker {told['name']} is draining: {len(told['processes'])} processes hold {held}.")
    # Asked again and again: a process that was just starting is to go as well.
    return _wait(wait, lambda: _worker_is_gone(settings, told["name"]), f"Worker {told['name']}")


def drain_broker(settings: ClientSettings, wait: float) -> Exit:
    """Have the broker drain, and wait until it is gone."""
    reply = ask(settings, "drain")
    if reply.get("success") != 0:
        return fail(reply)
    where = f"The broker at {settings.admin}"
    note(f"{where} is draining: {_count(reply['result']['running'], 'task')} left.")
    return _wait(wait, lambda: _broker_is_gone(settings), where)


def _wait(seconds: float, is_gone: Callable[[], bool], what: str) -> Exit:
    if not seconds:
        return Exit.OK
    deadline = time.monotonic() + seconds
    while not is_gone():
        if time.monotonic() >= deadline:
            note(f"Error: {what} has not ended within {seconds:g} s; it goes on draining")
            return Exit.TIMEOUT
        time.sleep(_POLL)
    note(f"{what} has ended.")
    return Exit.OK


def _worker_is_gone(settings: ClientSettings, name: str) -> bool:
    reply = ask(_hasty(settings), "worker.drain", name=name)
    return _error(reply).get("reason") == "not_found"


def _broker_is_gone(settings: ClientSettings) -> bool:
    """Also where another one has taken its place."""
    reply = ask(_hasty(settings), "status")
    if reply.get("success") != 0:
        return _error(reply).get("code") == "unreachable"
    return not reply["result"]["draining"]


def _hasty(settings: ClientSettings) -> ClientSettings:
    return msgspec.structs.replace(settings, timeout=min(settings.timeout, _LOOK), retries=1)


def _error(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    error = reply.get("error")
    return error if isinstance(error, Mapping) else {}


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
