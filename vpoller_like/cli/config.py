"""``vpoller config``: the settings in force, and where each came from."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from vpoller_like.cli.output import emit, output_option
from vpoller_like.cli.session import Session
from vpoller_like.loading import Loaded
from vpoller_like.sources import OPEN_SECTION

MASK = "***"
_SECRETS = ("password", "secret", "token", "pwd")
#: Keys with such an end say where a secret is, not what it is.
_POINTERS = ("_file", "_env")


@click.group("config")
def command() -> None:
    """Look at the settings."""


@command.command("show")
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@output_option
@click.pass_obj
def show(session: Session, origin: bool, output: str | None) -> None:
    """Print every setting in force; agents' secrets are shown as ***."""
    loaded = session.load()
    emit(_with_origins(loaded) if origin else _values(loaded), output)


def _values(loaded: Loaded) -> dict[str, Any]:
    return {key: _shown(key, value) for key, value in loaded.values.items()}


def _with_origins(loaded: Loaded) -> list[dict[str, Any]]:
    return [
        {"key": key, "value": value, "origin": str(loaded.origins[key])}
        for key, value in _values(loaded).items()
    ]


def _shown(key: str, value: Any) -> Any:
    # TOML knows dates, JSON does not.
    plain = msgspec.to_builtins(value)
    return masked(key, plain) if key.startswith(f"{OPEN_SECTION}.") else plain


def masked(key: str, value: Any) -> Any:
    """Return ``value`` with every secret in it masked, itself where its ``key`` names one."""
    name = key.lower()
    if any(word in name for word in _SECRETS) and not name.endswith(_POINTERS):
        return MASK
    if isinstance(value, dict):
        return {inner: masked(inner, value[inner]) for inner in value}
    if isinstance(value, list):
        return [masked("", item) for item in value]
    return value
