"""The generic answer of a method that collects metrics: families of samples.

::

    [{"name": "vsphere_vm_memory_size_bytes", "help": "Memory of the virtual machine.",
      "type": "gauge", "unit": "bytes", "labels": ["vm"],
      "samples": [[["db1"], 4294967296], [["db2"], 8589934592]]}]

A sample is its labels' values in the order of ``labels``, its value, and optionally the
time at which it was taken, in seconds since 1970. ``null`` for a value leaves it out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

import msgspec

from vpoller_like.errors import TaskFailed

#: Names that a family of somebody else's cannot have: the exporter's own begin so.
RESERVED = "vpoller_"

# Not "$", which stands before a last newline, too.
MetricName = Annotated[str, msgspec.Meta(pattern=r"\A[a-zA-Z_:][a-zA-Z0-9_:]*\Z", max_length=200)]
#: A name with two underscores before it is Prometheus's own.
LabelName = Annotated[
    str, msgspec.Meta(pattern=r"\A(?!__)[a-zA-Z_][a-zA-Z0-9_]*\Z", max_length=200)
]
Unit = Annotated[str, msgspec.Meta(pattern=r"\A[a-z0-9_]*\Z")]

#: How the name of a type's samples ends, and no other type's.
_ENDINGS = {"counter": "_total", "info": "_info"}


class Sample(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One value: ``[[label value, ...], value, timestamp]``."""

    labels: list[str]
    value: float | None
    timestamp: Annotated[float, msgspec.Meta(ge=0, le=1e11)] | None = None


class Family(msgspec.Struct, frozen=True):
    """All samples of one metric, whose ``name`` they have."""

    name: MetricName
    help: str
    samples: list[Sample]
    labels: list[LabelName] = []
    type: Literal["gauge", "counter", "info", "unknown"] = "gauge"
    unit: Unit = ""

    @property
    def stem(self) -> str:
        """Return the name without what its type adds."""
        return self.name.removesuffix(_ENDINGS.get(self.type, ""))


def read_families(result: Any) -> list[Family]:
    """Return the families in a method's ``result``; raise ``TaskFailed`` if it has others.

    What comes back is such as both formats can say, and no two samples are one series.
    """
    try:
        families = msgspec.convert(result, list[Family])
    except (msgspec.ValidationError, OverflowError) as error:
        raise _bad(str(error)) from error
    seen: set[str] = set()
    for family in families:
        _check_name(family)
        _check_samples(family)
        if family.stem in seen:
            raise _bad(f"two families are named {family.stem}")
        seen.add(family.stem)
    return families


def _check_name(family: Family) -> None:
    name = family.name
    if name.startswith(RESERVED):
        raise _bad(f"{name}: names that begin with {RESERVED} are the exporter's own")
    wrong = {ending for ending in _ENDINGS.values() if name.endswith(ending)}
    expected = _ENDINGS.get(family.type)
    if wrong != ({expected} if expected else set()):
        raise _bad(f"{name}: counters' names end in _total, infos' in _info, and no others do")
    if family.unit and not family.stem.endswith(f"_{family.unit}"):
        raise _bad(f"{name}: the name does not end with its unit, {family.unit}")
    if len(set(family.labels)) != len(family.labels):
        raise _bad(f"{name}: a label is named twice")


def _check_samples(family: Family) -> None:
    count = len(family.labels)
    series: set[tuple[str, ...]] = set()
    for sample in family.samples:
        if len(sample.labels) != count:
            raise _bad(f"{family.name}: expected {count} label values, got {len(sample.labels)}")
        series.add(tuple(sample.labels))
    if len(series) != len(family.samples):
        raise _bad(f"{family.name}: two samples have the same labels")


def _bad(fault: str) -> TaskFailed:
    return TaskFailed(f"the answer is not made of metrics: {fault}", reason="bad_answer")


def family(name: str, text: str, values: Iterable[tuple[list[str], float]], **more: Any) -> Family:
    """Return a family of the exporter's own."""
    return Family(name, text, [Sample(labels, value) for labels, value in values], **more)
