"""``vpoller config``: the settings in force, and where each came from."""

from __future__ import annotations

import contextlib
from typing import Any

import click
import msgspec

from vpoller_like.agent import load_agents
from vpoller_like.agent.secrets import is_secret_setting
from vpoller_like.agent.vault import VAULT
from vpoller_like.cli.exits import Exit
from vpoller_like.cli.output import emit, emit_text, note, output_option
from vpoller_like.cli.session import BadSettings, Session
from vpoller_like.cli.upstream.ini import DEFAULT_FILE
from vpoller_like.config import Settings
from vpoller_like.loading import Loaded
from vpoller_like.sources import OPEN_SECTION
from vpoller_like.whole_files import replace, write_new

MASK = "***"


@click.group("config")
def command() -> None:
    """Look at the settings; make them of vPoller's."""


@command.command("show")
@click.option("--origin", is_flag=True, help="Say where each value came from.")
@output_option
@click.pass_obj
def show(session: Session, origin: bool, output: str | None) -> None:
    """Print every setting in force; agents' secrets are shown as ***."""
    loaded = session.load()
    learn_secrets(loaded.settings)
    emit(_with_origins(loaded) if origin else _values(loaded), output)


@command.command("migrate")
@click.argument("file", default=DEFAULT_FILE)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE, and not to stdout.")
@click.option("--force", is_flag=True, help="Overwrite FILE where it is there.")
def migrate(file: str, output: str | None, force: bool) -> int:
    """Turn vPoller's INI FILE (/etc/vpoller/vpoller.conf) into a vpoller.toml.

    Says on stderr what each of its lines becomes; what has no counterpart is kept as a comment.
    """
    from vpoller_like.cli.upstream.migrate import migrated

    text = migrated(file)
    if output is None:
        emit_text(text)
    else:
        _write(output, text, force)
    return Exit.OK


def _write(path: str, text: str, force: bool) -> None:
    try:
        if force:
            replace(path, text)
        else:
            write_new(path, text, 0o644)
    except FileExistsError:
        raise BadSettings(f"{path} is there already; name another file, or say --force") from None
    note(f"Written: {path}. `vpoller --config {path} config show --origin` shows what it says.")


def learn_secrets(settings: Settings) -> None:
    """Have the agents say which of their settings are secret, beside those named so."""
    for name in settings.agents:
        # What is wrong with one of them is not for here to tell.
        with contextlib.suppress(Exception):
            load_agents([name], settings.agents)


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
    if is_secret_setting(key):
        return MASK
    if isinstance(value, str | int | float) and VAULT.holds(value):
        return MASK
    if isinstance(value, dict):
        return {inner: masked(inner, value[inner]) for inner in value}
    if isinstance(value, list):
        return [masked("", item) for item in value]
    return value
