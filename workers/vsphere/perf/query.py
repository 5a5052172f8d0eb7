"""Samples: one QueryPerf for any number of objects and counters."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from vpoller_like.errors import TaskFailed
from workers.vsphere.encode import reference
from workers.vsphere.perf.catalogue import Catalogue
from workers.vsphere.perf.intervals import Interval
from workers.vsphere.session.login import Login
from workers.vsphere.vmomi import vim, vmodl

#: History is rolled up some time after it has happened.
_LATE = timedelta(hours=1)
#: Objects may go while they are asked about; so many are left out, each for a call more.
_LEFT_OUT = 2
#: What stands for a sample that is missing.
_MISSING = ("", "-1")


class Question(msgspec.Struct, frozen=True):
    """What to measure of each object."""

    counters: tuple[int, ...]
    #: ``""`` is the object as a whole, ``"*"`` all of its parts.
    instance: str
    interval: Interval
    #: The most samples of each series, the newest ones.
    samples: int


class Sample(msgspec.Struct, frozen=True):
    """One figure."""

    reference: str
    interval: int
    timestamp: str
    counter: int
    instance: str
    value: int


def query(
    login: Login, catalogue: Catalogue, managed: Sequence[Any], question: Question
) -> list[Sample]:
    """Return the samples, of each series from the oldest to the newest; takes one call.

    Objects and counters that have none are left out, and so is, of several objects, one that
    is gone or may not be read. Raises ``TaskFailed`` with the reason ``too_many_figures``
    where the vCenter does not answer so large a question.
    """
    return query_all(login, catalogue, [(managed, question)])


def query_all(
    login: Login, catalogue: Catalogue, asked: Sequence[tuple[Sequence[Any], Question]]
) -> list[Sample]:
    """Do the same for groups of objects, each with a question of its own; one call as well."""
    questions = {each._moId: question for managed, question in asked for each in managed}
    if not questions:
        return []
    now = catalogue.now()
    specs = [spec for managed, question in asked for spec in _specs(managed, question, now)]
    answers = _answers(login.content.perfManager, specs)
    return [
        sample for answer in answers for sample in _samples(answer, questions[answer.entity._moId])
    ]


def _answers(manager: Any, specs: list[Any]) -> list[Any]:
    for _ in range(_LEFT_OUT):
        try:
            return _ask(manager, specs)
        except (vmodl.fault.ManagedObjectNotFound, vim.fault.NoPermission) as fault:
            left = _without(_object_of(fault), specs)
            if len(left) in (0, len(specs)):
                raise
            specs = left
    return _ask(manager, specs)


def _ask(manager: Any, specs: list[Any]) -> list[Any]:
    try:
        return list(manager.QueryPerf(querySpec=specs))
    except vim.fault.RestrictedByAdministrator as fault:
        figures = sum(len(spec.metricId) for spec in specs)
        raise TaskFailed(
            f"The vCenter does not answer a question for {figures} figures at once: raise its "
            "setting config.vpxd.stats.maxQueryMetrics, or ask for fewer objects or counters",
            reason="too_many_figures",
            figures=figures,
        ) from fault


def _object_of(fault: Any) -> Any:
    return fault.obj if isinstance(fault, vmodl.fault.ManagedObjectNotFound) else fault.object


def _without(managed: Any, specs: list[Any]) -> list[Any]:
    return [spec for spec in specs if managed is None or spec.entity._moId != managed._moId]


def _specs(managed: Sequence[Any], question: Question, now: datetime) -> list[Any]:
    metrics = [
        vim.PerformanceManager.MetricId(counterId=each, instance=question.instance)
        for each in question.counters
    ]
    asked = {
        "metricId": metrics,
        "intervalId": question.interval.seconds,
        # As text the figures are a tenth of the XML that they are as numbers.
        "format": "csv",
        **_extent(question, now),
    }
    return [vim.PerformanceManager.QuerySpec(entity=each, **asked) for each in managed]


def _extent(question: Question, now: datetime) -> dict[str, Any]:
    """Say how many samples are wanted, or, of history, since when."""
    if question.interval.is_realtime:
        return {"maxSample": question.samples}
    # A vCenter heeds maxSample in realtime alone, and sends all that it has kept.
    period = timedelta(seconds=question.interval.seconds)
    return {"startTime": now - max((question.samples + 2) * period, _LATE)}


def _samples(answer: Any, question: Question) -> Iterator[Sample]:
    moments = _pairs(answer.sampleInfoCSV or "")
    entity = reference(answer.entity)
    for series in answer.value:
        figures = zip(moments, str(series.value or "").split(","), strict=False)
        found = [
            Sample(
                reference=entity,
                interval=int(interval),
                timestamp=moment,
                counter=int(series.id.counterId),
                instance=str(series.id.instance),
                value=int(value),
            )
            for (interval, moment), value in figures
            if value not in _MISSING
        ]
        yield from found[-question.samples :]


def _pairs(text: str) -> list[tuple[str, str]]:
    """Return intervals and times from "20,2026-11-22T03:04:20Z,20,..."."""
    parts = text.split(",")
    return list(zip(parts[::2], parts[1::2], strict=False))
