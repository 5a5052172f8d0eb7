"""Keys: are those that the settings name there, closed to others, and authorised."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from vpoller_like.authorized import Authorized, AuthorizedList
from vpoller_like.cli.checks.finding import Finding, Reporter, count
from vpoller_like.config import ClientSettings, Settings, WorkerSettings
from vpoller_like.errors import ConfigError
from vpoller_like.keys import KeyDirectory
from vpoller_like.transport.curve import credentials, pair_of

report = Reporter("keys")


def check(settings: Settings) -> Iterator[Finding]:
    """Look at the keys that the settings name, and at all that lie beside them."""
    keys = KeyDirectory(settings.security.keys)
    yield from directory(keys)
    if settings.broker.key:
        yield broker_key(keys, settings.broker.key)
        yield from authorized(AuthorizedList(keys.path))
    for section, party in (("worker", settings.worker), ("client", settings.client)):
        yield from party_keys(keys, section, party)
    if not any((settings.broker.key, settings.worker.key, settings.client.key)):
        yield report.ok("no keys are used: the broker's doors are for this machine alone")


def directory(keys: KeyDirectory) -> Iterator[Finding]:
    """Find what others may change or read that they must not."""
    if not os.path.isdir(keys.path):
        return
    mode = stat.S_IMODE(os.stat(keys.path).st_mode)
    if mode & 0o022:
        text = f"others may put keys into {keys.path} (mode {mode:04o})"
        yield report.problem(text, f"chmod go-w {keys.path}")
    for name in keys.names():
        try:
            keys.require_closed(name)
        except ConfigError as error:
            yield report.problem(error.message)


def broker_key(keys: KeyDirectory, name: str) -> Finding:
    """Say whether the broker's own key is usable."""
    try:
        pair_of(keys.secret(name))
    except ConfigError as error:
        return report.problem(error.message)
    return report.ok(f"broker.key {name} is there and closed to others")


def authorized(listed: AuthorizedList) -> Iterator[Finding]:
    """Say who may use the broker, and which role nobody has."""
    try:
        entries = listed.read()
    except ConfigError as error:
        yield report.problem(error.message)
        return
    if not entries:
        text = f"{listed.file} names nobody: the broker cannot start"
        yield report.problem(text, "vpoller keys authorize NAME --role caller|worker|admin")
        return
    yield report.ok(f"{count(len(entries), 'key')} in {listed.file}")
    yield from _missing_roles(entries)


def _missing_roles(entries: list[Authorized]) -> Iterator[Finding]:
    roles = {entry.role for entry in entries}
    if "worker" not in roles:
        text = "no worker's key is authorised: no method can be served"
        yield report.warning(text, "vpoller keys authorize NAME --role worker")
    if "admin" not in roles:
        text = "no admin's key is authorised: nobody can ask for `vpoller status`"
        yield report.warning(text, "vpoller keys authorize NAME --role admin")


def party_keys(
    keys: KeyDirectory, section: str, party: WorkerSettings | ClientSettings
) -> Iterator[Finding]:
    """Say whether a worker's or client's keys are usable, where it has any."""
    try:
        found = credentials(keys, party.key, party.server_key, f"{section}.")
    except ConfigError as error:
        yield report.problem(error.message)
        return
    if found is not None:
        yield report.ok(f"{section}.key and {section}.server_key are there and usable")
