"""What each key of vPoller's INI file is here: the table, and nothing that acts on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

import msgspec

from vpoller_like.agent import available_helpers
from vpoller_like.agent.helpers import GROUP
from vpoller_like.cli.upstream import vconnector
from vpoller_like.cli.upstream.ini import Entry
from vpoller_like.sources import Given, KeyPath, Layer, Origin, dotted

#: vPoller's modules with tasks, and the agents that serve them here.
TASKS = {"vpoller.vsphere.tasks": "vsphere"}
#: The agent that a worker of vPoller's stands for, where its file names no tasks.
AGENTS = ["vsphere"]


class Fate(msgspec.Struct, frozen=True):
    """What becomes of one entry: ``settings`` that it gives, none where it has no counterpart."""

    entry: Entry
    settings: dict[KeyPath, Any] = {}
    remark: str = ""

    def __str__(self) -> str:
        """One line for whoever reads the notices."""
        names = " and ".join(dotted(key) for key in self.settings)
        what = f"is {names}" if names else "has no counterpart"
        return f"{self.entry.place}: {self.entry} {what}" + (
            f": {self.remark}" if self.remark else ""
        )


class Rule(msgspec.Struct, frozen=True):
    """How the value of a key becomes settings, ``None`` for none; and what is said about it."""

    settings: Mapping[KeyPath, Callable[[str], Any]] = {}
    remark: Callable[[str], str] = lambda _: ""


def words(value: str) -> list[str]:
    """Return the items of a list as vPoller writes it, with commas."""
    return [word.strip() for word in value.split(",") if word.strip()]


def agents_for(value: str) -> list[str] | None:
    """Return the agents that serve the tasks of these modules; ``None`` where there is none."""
    return [TASKS[name] for name in words(value) if name in TASKS] or None


def nearby(endpoint: str) -> str:
    """Return where a program on the same machine finds what is bound to ``endpoint``."""
    for anywhere in ("*", "0.0.0.0", "[::]"):
        endpoint = endpoint.replace(f"tcp://{anywhere}:", "tcp://127.0.0.1:")
    return endpoint


def _one(value: str) -> list[str]:
    return [value]


def _nearby_one(value: str) -> list[str]:
    return [nearby(value)]


def _always(text: str) -> Callable[[str], str]:
    return lambda _: text


def _about_tasks(value: str) -> str:
    others = [name for name in words(value) if name not in TASKS]
    if not others:
        return "" if words(value) else f"nothing is named; the agents are {', '.join(AGENTS)}"
    return (
        f"{', '.join(others)} is written for vPoller's workers: attach one that has it to "
        "broker.plain, or make an agent of it"
    )


def _about_helpers(value: str) -> str:
    others = [name for name in words(value) if name not in available_helpers()]
    installed = "helpers are installed, not listed"
    if not others:
        return f"{installed}; vPoller's names are known"
    return f"{installed}, and {', '.join(others)} is not; make it an entry point of {GROUP}"


_CACHE = Rule(remark=_always("no property is cached: names are, and they follow the vCenter"))

RULES: Mapping[tuple[str, str], Rule] = {
    ("proxy", "frontend"): Rule(
        {("broker", "frontend"): str, ("client", "endpoints"): _nearby_one}
    ),
    ("proxy", "backend"): Rule(
        {("broker", "backend"): str},
        _always("vPoller's own workers connect to broker.plain instead"),
    ),
    ("proxy", "mgmt"): Rule({("broker", "admin"): str, ("client", "admin"): nearby}),
    ("worker", "proxy"): Rule({("worker", "backends"): _one}),
    ("worker", "mgmt"): Rule(
        remark=_always("a worker has no endpoint; the broker's admin endpoint tells of it")
    ),
    ("worker", "db"): Rule(
        {("agents", "vsphere", "database"): vconnector.successor}, vconnector.advice
    ),
    ("worker", "tasks"): Rule({("worker", "agents"): agents_for}, _about_tasks),
    ("worker", "helpers"): Rule(remark=_about_helpers),
    **{("cache", key): _CACHE for key in ("enabled", "maxsize", "ttl", "housekeeping")},
}


def fates(entries: Iterable[Entry], sections: Iterable[str] = ()) -> list[Fate]:
    """Return what becomes of each entry, or of those in ``sections`` and in unknown ones."""
    known = {section for section, _ in RULES}
    others = known.difference(sections) if sections else ()
    return [_fate(entry) for entry in entries if entry.section not in others]


def layer(fates: Iterable[Fate]) -> Layer:
    """Return the settings that the entries give, each from its place in the file."""
    return {
        key: Given(value, Origin("file", fate.entry.path, fate.entry.line))
        for fate in fates
        for key, value in fate.settings.items()
    }


def _fate(entry: Entry) -> Fate:
    rule = RULES.get((entry.section, entry.key))
    if rule is None:
        return Fate(entry, remark=_unknown(entry))
    settings = {key: convert(entry.value) for key, convert in rule.settings.items()}
    given = {key: value for key, value in settings.items() if value is not None}
    return Fate(entry, given, rule.remark(entry.value))


def _unknown(entry: Entry) -> str:
    keys = [key for section, key in RULES if section == entry.section]
    if not keys:
        return "vPoller has no such section"
    near = get_close_matches(entry.key, keys, 1, 0.5)
    return "vPoller has no such key" + (f"; did you mean {near[0]}?" if near else "")
