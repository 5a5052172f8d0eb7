"""The flags for keys, for the verbs that connect or are connected to."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec

from vpoller_like.cli.session import Session
from vpoller_like.config import ClientSettings, Settings
from vpoller_like.keys import KeyDirectory, is_public_key

if TYPE_CHECKING:
    from vpoller_like.client import VPollerClient

_Command = TypeVar("_Command", bound=Callable[..., Any])

_SERVER = "The broker's key, by name, or itself."
_KEYS = "The directory of the keys."


def key_options(section: str) -> Callable[[_Command], _Command]:
    """Give a command ``--key``, ``--server-key`` and ``--keys``, for this section's settings."""

    def add(function: _Command) -> _Command:
        function = _option("--keys", "security__keys", "DIR", _KEYS)(function)
        function = _option("--server-key", f"{section}__server_key", "NAME", _SERVER)(function)
        return _option("--key", f"{section}__key", "NAME", "The key to be known by.")(function)

    return add


def broker_key_options(function: _Command) -> _Command:
    """Give a command ``--key`` and ``--keys``, for a broker's settings."""
    function = _option("--keys", "security__keys", "DIR", _KEYS)(function)
    return _option("--key", "broker__key", "NAME", "The broker's key: ask for keys.")(function)


def keys_option(function: _Command) -> _Command:
    """Give a command ``--keys`` alone."""
    return _option("--keys", "security__keys", "DIR", _KEYS)(function)


def with_key_files(settings: Settings) -> ClientSettings:
    """Return the client's settings with its keys by their files, wherever those are."""
    client, keys = settings.client, KeyDirectory(settings.security.keys)
    if not client.key and not client.server_key:
        return client
    server_key = client.server_key
    if server_key and not is_public_key(server_key):
        server_key = keys.public_file(server_key)
    key = client.key and keys.secret_file(client.key)
    return msgspec.structs.replace(client, key=key, server_key=server_key)


def key_arguments(client: ClientSettings) -> dict[str, Any]:
    """Return the arguments that give a client its keys; none where it has none."""
    if not client.key and not client.server_key:
        return {}
    return {"key": client.key, "server_key": client.server_key}


def connected(endpoint: str | list[str], settings: ClientSettings) -> VPollerClient:
    """Return a client for ``endpoint``, with the patience and the keys of ``settings``."""
    # Here, so that `--help` does not wait for zmq.
    from vpoller_like.client import VPollerClient

    return VPollerClient(
        endpoint,
        timeout=settings.timeout,
        retries=settings.retries,
        **key_arguments(settings),
    )


def _option(flag: str, setting: str, metavar: str, purpose: str) -> Callable[[_Command], _Command]:
    def keep(ctx: click.Context, _: click.Parameter, value: str | None) -> None:
        ctx.ensure_object(Session).flags[setting] = value

    # Kept in the session, where it is loaded from: not one more argument of each verb.
    return click.option(flag, metavar=metavar, help=purpose, expose_value=False, callback=keep)
