"""The counters of a vCenter, by name and by id."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from vpoller_like.errors import InvalidParams

#: Digits; no id has so many.
_TOO_LONG = 20


class Counters:
    """What can be measured. ``infos`` are the vCenter's PerfCounterInfo, encoded."""

    def __init__(self, infos: Iterable[dict[str, Any]]) -> None:
        self._by_id = {int(info["key"]): info for info in infos}
        self._ids = {counter_name(info): key for key, info in self._by_id.items()}
        self._short: defaultdict[str, list[int]] = defaultdict(list)
        for key, info in self._by_id.items():
            self._short[_short_name(info)].append(key)

    def rows(self) -> list[dict[str, Any]]:
        """Return all counters, each with its name."""
        return [{"name": counter_name(info), **info} for info in self._by_id.values()]

    def name(self, counter_id: int) -> str:
        """Return a counter's name, or its id where the vCenter has none for it."""
        info = self._by_id.get(counter_id)
        return counter_name(info) if info else str(counter_id)

    def find(self, wanted: str | int, field: str) -> int:
        """Return the id of a counter: of its name, ``cpu.usage.percent.average``, or itself.

        The name may lack the unit where one counter alone is meant. Raises ``InvalidParams``
        about the parameter ``field``.
        """
        known = self._known(str(wanted).strip())
        if known is None:
            raise InvalidParams(
                f"{field}: there is no counter {wanted}; {self._hint(str(wanted))}",
                field=field,
                counter=str(wanted),
            )
        return known

    def _known(self, wanted: str) -> int | None:
        if wanted.isdecimal() and len(wanted) < _TOO_LONG:
            return int(wanted) if int(wanted) in self._by_id else None
        short = self._short.get(wanted, [])
        return self._ids.get(wanted, short[0] if len(short) == 1 else None)

    def _hint(self, wanted: str) -> str:
        ids = self._short.get(wanted) or self._short.get(_without_unit(wanted)) or []
        candidates = [self.name(key) for key in ids]
        similar = candidates or get_close_matches(wanted, self._ids, 1)
        meant = f"did you mean {' or '.join(similar)}? " if similar else ""
        return f"{meant}perf.metric.info lists them all"


def counter_name(info: dict[str, Any]) -> str:
    """Return a counter's name: group, name, unit and rollup."""
    group, name, unit = (info[part]["key"] for part in ("groupInfo", "nameInfo", "unitInfo"))
    return f"{group}.{name}.{unit}.{info['rollupType']}"


def _short_name(info: dict[str, Any]) -> str:
    return f"{info['groupInfo']['key']}.{info['nameInfo']['key']}.{info['rollupType']}"


def _without_unit(name: str) -> str:
    """Return a name without its last part but one, which is the unit if it is whole."""
    *parts, _, rollup = ["", *name.split(".")]
    return ".".join([*parts, rollup]).removeprefix(".")
