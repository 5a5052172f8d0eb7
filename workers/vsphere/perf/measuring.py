"""Measuring objects: what a request names, made into a question and its answer."""

from __future__ import annotations

from typing import Any

from vpoller_like.errors import TaskFailed
from workers.vsphere.encode import reference
from workers.vsphere.inventory.collector import Row
from workers.vsphere.inventory.kinds import HOST, VM, Kind
from workers.vsphere.perf.catalogue import Catalogue, catalogue_of
from workers.vsphere.perf.intervals import REALTIME_SECONDS
from workers.vsphere.perf.params import MetricGet, MetricInfo
from workers.vsphere.perf.query import Question, Sample, query
from workers.vsphere.session.login import Login
from workers.vsphere.vcenter import Rows, VCenter

#: The kinds that are measured every few seconds.
_LIVE = (HOST, VM)


def available(vcenter: VCenter, kind: Kind, asked: MetricInfo) -> Rows:
    """Return which counters, of which parts, there are of an object; or whether one is."""

    def work(login: Login) -> Rows:
        catalogue = catalogue_of(login)
        name = asked.counter_name
        wanted = None if name is None else catalogue.counters.find(name, "counter-name")
        seconds = _seconds(catalogue, kind, asked)
        managed = vcenter.inventory.find(login, kind, asked.name).managed
        manager = login.content.perfManager
        return [
            {"counterId": catalogue.counters.name(each.counterId), "instance": str(each.instance)}
            for each in manager.QueryAvailablePerfMetric(entity=managed, intervalId=seconds)
            if wanted in (None, each.counterId)
        ]

    return vcenter.run(work)


def measure(vcenter: VCenter, kind: Kind, asked: MetricGet) -> Rows:
    """Return the samples that a request asks for.

    Raises ``TaskFailed`` with the reason ``no_samples`` where one counter of one object was
    asked for and there are none, besides what looking up objects, counters and intervals
    raises.
    """

    def work(login: Login) -> Rows:
        catalogue = catalogue_of(login)
        question = _question(catalogue, kind, asked)
        rows = vcenter.named(login, kind, asked, ["name"])
        samples = query(login, catalogue, [row.managed for row in rows], question)
        return _rows(catalogue, rows, samples, asked)

    found = vcenter.run(work)
    if not found and asked.is_plain:
        raise _no_samples(kind, asked)
    return found


def _seconds(catalogue: Catalogue, kind: Kind, asked: MetricInfo) -> int | None:
    if asked.perf_interval is None:
        return REALTIME_SECONDS if kind in _LIVE else None
    return catalogue.intervals.find(asked.perf_interval, has_realtime=kind in _LIVE).seconds


def _question(catalogue: Catalogue, kind: Kind, asked: MetricGet) -> Question:
    counters = [catalogue.counters.find(each, field) for field, each in asked.measured]
    return Question(
        counters=tuple(dict.fromkeys(counters)),
        instance=asked.instance,
        interval=catalogue.intervals.find(asked.perf_interval, has_realtime=kind in _LIVE),
        samples=asked.max_sample,
    )


def _rows(
    catalogue: Catalogue, objects: list[Row], samples: list[Sample], asked: MetricGet
) -> Rows:
    if asked.is_plain:
        return [_row(catalogue, sample) for sample in samples]
    names = {reference(row.managed): row.properties["name"] for row in objects}
    return [
        {
            "name": names.get(sample.reference),
            "entity": sample.reference,
            **_row(catalogue, sample),
        }
        for sample in samples
    ]


def _row(catalogue: Catalogue, sample: Sample) -> dict[str, Any]:
    return {
        "interval": sample.interval,
        "timestamp": sample.timestamp,
        # A name, as in vPoller: numbers differ from one vCenter to the next.
        "counterId": catalogue.counters.name(sample.counter),
        "instance": sample.instance,
        "value": sample.value,
    }


def _no_samples(kind: Kind, asked: MetricGet) -> TaskFailed:
    part = f", instance {asked.instance}" if asked.instance else ""
    return TaskFailed(
        f"{asked.name} has no samples of {asked.counter_name}{part}: it may be off, or not have "
        "this counter in this interval; its .perf.metric.info lists those that it has",
        reason="no_samples",
        kind=kind.label,
    )
