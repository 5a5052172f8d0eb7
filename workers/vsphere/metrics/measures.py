"""What is measured of each object of a kind, by properties alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from workers.vsphere.metrics.estate import Estate
from workers.vsphere.metrics.families import PREFIX, Family

Properties = Mapping[str, Any]
Value = Callable[[Properties], float | None]

MEGA = 1_000_000.0
KIB = 1024.0
MIB = 1024.0 * 1024.0

#: The labels of each kind's metrics.
LABELS = {
    "vm": ("vm", "moref", "cluster", "datacenter"),
    "host": ("host", "moref", "cluster", "datacenter"),
    "cluster": ("cluster", "moref", "datacenter"),
    "datastore": ("datastore", "moref", "datacenter"),
}


class Measure(msgspec.Struct, frozen=True):
    """One metric: ``name`` begins with the kind and ends with the unit."""

    name: str
    help: str
    value: Value
    unit: str = ""


def at(path: str, *steps: str, times: float = 1.0) -> Value:
    """Return a function that takes a number out of an object's properties.

    ``steps`` lead into the property's value; ``times`` makes base units of the API's.
    """

    def value(properties: Properties) -> float | None:
        held = _held(properties, path, steps)
        return None if held is None else float(held) * times

    return value


def is_so(path: str, *steps: str, word: str) -> Value:
    """Return a function that says 1 where an object's property is this ``word``, and 0 if not."""

    def value(properties: Properties) -> float | None:
        held = _held(properties, path, steps)
        return None if held is None else float(str(held) == word)

    return value


def timestamp(path: str) -> Value:
    """Return a function that takes a time, as seconds since 1970."""

    def value(properties: Properties) -> float | None:
        held = properties.get(path)
        return None if held is None else float(held.timestamp())

    return value


def _held(properties: Properties, path: str, steps: tuple[str, ...]) -> Any:
    held = properties.get(path)
    for step in steps:
        held = getattr(held, step, None)
    return held


def measured(estate: Estate, kind: str, measures: tuple[Measure, ...]) -> Iterator[Family]:
    """Yield a family for each measure, of all wanted objects of the kind."""
    families = [Family(PREFIX + each.name, each.help, LABELS[kind], each.unit) for each in measures]
    for thing, labels in estate.wanted(kind):
        for measure, family in zip(measures, families, strict=True):
            family.add(labels, measure.value(thing.properties))
    yield from families
