"""The settings: where they are from, who can read them, and which of them are for nobody."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from vpoller_like.agent.secrets import settings_secrets
from vpoller_like.cli.checks.finding import Finding, Reporter
from vpoller_like.loading import Loaded
from vpoller_like.sources import OPEN_SECTION

report = Reporter("configuration")


def check(loaded: Loaded) -> Iterator[Finding]:
    """Look at settings that could be loaded."""
    yield sources(loaded)
    yield from exposed_files(loaded)
    yield from unused_sections(loaded)


def sources(loaded: Loaded) -> Finding:
    """Say from where the settings are."""
    places = [f"{origin.place}" for origin in loaded.origins.values() if origin.place]
    if not places:
        return report.ok("all settings have their defaults")
    return report.ok(f"settings from {', '.join(dict.fromkeys(places))}")


def exposed_files(loaded: Loaded) -> Iterator[Finding]:
    """Find files that others may read and that hold a secret, or that others may change."""
    holders = set(_files_with_secrets(loaded))
    for path in sorted({o.place for o in loaded.origins.values() if o.kind == "file"}):
        mode = stat.S_IMODE(os.stat(path).st_mode)
        if mode & 0o022:
            text = f"others may change {path} (mode {mode:04o})"
            yield report.problem(text, f"chmod go-w {path}")
        elif path in holders and mode & 0o077:
            text = f"{path} holds a secret and others may read it (mode {mode:04o})"
            yield report.problem(text, f"chmod 600 {path}, or keep the secret in a file of its own")


def _files_with_secrets(loaded: Loaded) -> Iterator[str]:
    for key, value in loaded.values.items():
        origin = loaded.origins[key]
        name = key.rpartition(".")[2]
        if origin.kind == "file" and settings_secrets({name: value}):
            yield origin.place


def unused_sections(loaded: Loaded) -> Iterator[Finding]:
    """Find sections of agents that the worker does not load."""
    for name in sorted(set(loaded.settings.agents) - set(loaded.settings.worker.agents)):
        yield report.warning(
            f"[{OPEN_SECTION}.{name}] is used by nobody: worker.agents does not name {name}",
            f"add {name} to worker.agents, or remove the section",
        )
