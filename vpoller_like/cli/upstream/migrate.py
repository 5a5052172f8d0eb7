"""From vPoller's INI file to a ``vpoller.toml``, in which every line of it can be found."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from vpoller_like.cli.output import note
from vpoller_like.cli.session import BadSettings
from vpoller_like.cli.upstream import ini, mapping
from vpoller_like.cli.upstream.exposure import INNER_FRONTEND, exposed, remedies
from vpoller_like.cli.upstream.mapping import Fate
from vpoller_like.cli.upstream.toml import comment, literal
from vpoller_like.errors import ConfigError
from vpoller_like.loading import settle
from vpoller_like.sources import KeyPath, dotted

#: Sections in the order in which they are written.
_SECTIONS = (("broker",), ("worker",), ("client",), ("agents", "vsphere"))


def migrated(path: str) -> str:
    """Return the ``vpoller.toml`` for the INI file at ``path``; say what becomes of its lines.

    Raises ``BadSettings`` where the file, or a value in it, is wrong.
    """
    try:
        fates = mapping.fates(ini.read(path))
        found = exposed(settle([mapping.layer(fates)]).settings.broker)
    except ConfigError as error:
        raise BadSettings(error.message) from error
    for fate in fates:
        note(str(fate))
    return to_toml(path, fates, found)


def to_toml(path: str, fates: Sequence[Fate], found: dict[str, str]) -> str:
    """Return the text of a ``vpoller.toml`` that says what the file at ``path`` says.

    ``found`` are its endpoints that are open to the network, by door; the text says what is to
    be done about them.
    """
    lines = [comment(f"Made of vPoller's {path} by `vpoller config migrate`."), *_lost(fates)]
    for section in _SECTIONS:
        body = list(_section(section, fates))
        if section == ("broker",):
            body = [*_warnings(found), *body]
        if body:
            lines += ["", f"[{dotted(section)}]", *body]
    return "\n".join(lines) + "\n"


def _lost(fates: Sequence[Fate]) -> Iterator[str]:
    lost = [fate for fate in fates if not fate.settings]
    if lost:
        yield from ("", comment("Without a counterpart here:"))
    for fate in lost:
        yield comment(str(fate))


def _section(section: KeyPath, fates: Sequence[Fate]) -> Iterator[str]:
    for fate in fates:
        for key, value in fate.settings.items():
            if key[:-1] == section:
                yield comment(str(fate))
                yield _assignment(key, value)
    if section == ("worker",) and _is_workers(fates):
        yield comment("vPoller's worker serves vSphere's methods.")
        yield _assignment(("worker", "agents"), mapping.AGENTS)


def _is_workers(fates: Sequence[Fate]) -> bool:
    """Say whether the file is a worker's, and its agents are not said."""
    has_agents = any(("worker", "agents") in fate.settings for fate in fates)
    return not has_agents and any(fate.entry.section == "worker" for fate in fates)


def _warnings(found: dict[str, str]) -> Iterator[str]:
    if not found:
        return
    where = ", ".join(f"{door} {endpoint}" for door, endpoint in found.items())
    yield comment(f"The broker does not start like this: others could reach {where}, and without")
    yield comment("a key it asks nobody who he is.")
    yield from (comment(f"- {remedy}") for remedy in remedies(found))
    yield '#key = "broker"'
    if "frontend" in found:
        yield from _open_frontend(found["frontend"])


def _open_frontend(endpoint: str) -> Iterator[str]:
    yield comment("Without keys at the frontend: these three, in place of frontend below.")
    for key, value in _without_keys(endpoint).items():
        yield f"#{_assignment(('broker', key), value)}"


def _without_keys(endpoint: str) -> dict[str, Any]:
    return {
        "open_frontend": endpoint,
        "allow_plain": ["192.0.2.0/24", "127.0.0.1"],
        "frontend": INNER_FRONTEND,
    }


def _assignment(key: KeyPath, value: Any) -> str:
    return f"{dotted(key[-1:])} = {literal(value)}"
