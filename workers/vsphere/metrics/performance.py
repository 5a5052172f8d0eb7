"""Figures of the PerformanceManager: one query for each interval, however many objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress

import msgspec

from vpoller_like.errors import InvalidParams
from workers.vsphere.metrics.counters import COUNTERS, Counter
from workers.vsphere.metrics.estate import Estate, Labels, Thing
from workers.vsphere.metrics.families import PREFIX, Family
from workers.vsphere.metrics.measures import LABELS
from workers.vsphere.metrics.reading import TYPES
from workers.vsphere.perf.catalogue import Catalogue, catalogue_of
from workers.vsphere.perf.intervals import REALTIME, Interval
from workers.vsphere.perf.query import Question, Sample, query_all
from workers.vsphere.session.login import Login

#: The properties that say whether an object has figures, by kind.
LIVE: dict[str, Sequence[str]] = {
    "vm": ("runtime.powerState", "runtime.connectionState"),
    "host": ("runtime.connectionState",),
}


class Group(msgspec.Struct, frozen=True):
    """The objects of one kind, and what is asked of them."""

    kind: str
    #: By the vCenter's ids.
    counters: dict[int, Counter]
    #: The labels, by the objects' ids.
    subjects: dict[str, Labels]


def figures(login: Login, estate: Estate, collector: str) -> list[Family]:
    """Return what ``realtime`` or ``historical`` tells: the newest figure of each wanted object.

    Takes one call on a warm session. Raises ``TaskFailed`` where the vCenter keeps none.
    """
    catalogue, live = catalogue_of(login), collector == "realtime"
    interval = REALTIME if live else catalogue.intervals.find(None, has_realtime=False)
    groups = [
        Group(kind, _ids(catalogue, counters), _subjects(estate, kind, live))
        for kind, counters in COUNTERS[collector].items()
    ]
    samples = _samples(login, catalogue, groups, interval)
    return [
        family
        for group in groups
        for family in _families(group, COUNTERS[collector][group.kind], samples[group.kind])
    ]


def _subjects(estate: Estate, kind: str, live: bool) -> dict[str, Labels]:
    return {
        thing.id: labels
        for thing, labels in estate.wanted(kind)
        if not live or _is_live(kind, thing)
    }


def _is_live(kind: str, thing: Thing) -> bool:
    states = thing.properties
    on = kind == "host" or str(states.get("runtime.powerState")) == "poweredOn"
    return on and str(states.get("runtime.connectionState")) == "connected"


def _ids(catalogue: Catalogue, counters: Sequence[Counter]) -> dict[int, Counter]:
    """Return those counters that the vCenter has, by its ids for them."""
    found: dict[int, Counter] = {}
    for each in counters:
        with suppress(InvalidParams):
            found[catalogue.counters.find(each.key, "counter-name")] = each
    return found


def _samples(
    login: Login, catalogue: Catalogue, groups: Sequence[Group], interval: Interval
) -> dict[str, list[Sample]]:
    """Return the samples by the objects' kinds."""
    asked = [
        (
            [TYPES[group.kind](id_) for id_ in group.subjects],
            Question(tuple(group.counters), "", interval, 1),
        )
        for group in groups
    ]
    kinds = {str(TYPES[group.kind]._wsdlName): group.kind for group in groups}
    found: dict[str, list[Sample]] = {group.kind: [] for group in groups}
    for sample in query_all(login, catalogue, asked):
        found[kinds[sample.reference.partition(":")[0]]].append(sample)
    return found


def _families(
    group: Group, counters: Sequence[Counter], samples: Sequence[Sample]
) -> Iterator[Family]:
    families = {
        each: Family(PREFIX + each.name, each.help, LABELS[group.kind], each.unit)
        for each in counters
    }
    for sample in samples:
        counter = group.counters[sample.counter]
        labels = group.subjects[sample.reference.partition(":")[2]]
        families[counter].add(labels, sample.value * counter.times)
    yield from families.values()
