"""Counters by name, and samples as a vCenter writes them."""

from __future__ import annotations

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("pyVmomi")

from pyVmomi import vim

from vpoller_like.errors import InvalidParams, TaskFailed
from workers.vsphere.perf.catalogue import Catalogue
from workers.vsphere.perf.counters import Counters
from workers.vsphere.perf.intervals import REALTIME, Interval, Intervals
from workers.vsphere.perf.query import Question, query


def counter(key: int, group: str, name: str, unit: str, rollup: str) -> dict[str, Any]:
    keys = {"groupInfo": {"key": group}, "nameInfo": {"key": name}, "unitInfo": {"key": unit}}
    return {"key": key, **keys, "rollupType": rollup}


COUNTERS = Counters(
    [
        counter(2, "cpu", "usage", "percent", "average"),
        counter(6, "cpu", "usagemhz", "megaHertz", "average"),
        counter(7, "disk", "used", "kiloBytes", "latest"),
        counter(8, "disk", "used", "percent", "latest"),
        counter(9, "vcDebugInfo", "activation.latency.stats", "ms", "none"),
    ]
)


@pytest.mark.parametrize(
    ("wanted", "key"),
    [
        ("cpu.usagemhz.megaHertz.average", 6),
        ("cpu.usage.average", 2),
        ("vcDebugInfo.activation.latency.stats.none", 9),
        ("disk.used.kiloBytes.latest", 7),
        (" 8 ", 8),
        (8, 8),
    ],
)
def test_a_counter_is_found(wanted: str | int, key: int) -> None:
    assert COUNTERS.find(wanted, "counter-name") == key


def test_a_name_without_its_unit_that_means_two_is_answered_with_both() -> None:
    with pytest.raises(
        InvalidParams,
        match=r"did you mean disk\.used\.kiloBytes\.latest or disk\.used\.percent\.latest",
    ):
        COUNTERS.find("disk.used.latest", "counters")


def test_a_wrong_unit_is_answered_with_the_right_one() -> None:
    with pytest.raises(InvalidParams, match=r"did you mean cpu\.usagemhz\.megaHertz\.average\?"):
        COUNTERS.find("cpu.usagemhz.MHz.average", "counter-name")


@pytest.mark.parametrize("wanted", ["", ".", "a.b", "3", "-2", "2.0", "zzz", "²", "9" * 5000])
def test_what_is_like_no_counter_is_refused(wanted: str) -> None:
    with pytest.raises(InvalidParams, match=r"perf\.metric\.info lists them"):
        COUNTERS.find(wanted, "counter-name")


def test_intervals_that_are_switched_off_are_not_chosen() -> None:
    day = {"key": 1, "name": "Past day", "samplingPeriod": 300, "enabled": False}
    week = {"key": 2, "name": "Past week", "samplingPeriod": 1800, "enabled": True}
    assert Intervals([day, week]).find(None, has_realtime=False) == Interval(1800)
    assert Intervals([day]).find(None, has_realtime=True) == REALTIME
    with pytest.raises(TaskFailed, match="enable a statistics interval"):
        Intervals([day]).find(None, has_realtime=False)


def asked(answers: list[Any], interval: Interval, samples: int) -> tuple[list[int], Any]:
    """Return the values in what a vCenter ``answers``, and what it was asked."""
    specs: list[Any] = []

    def query_perf(**given: list[Any]) -> list[Any]:
        specs.extend(given["querySpec"])
        return answers

    manager = SimpleNamespace(QueryPerf=query_perf)
    login: Any = SimpleNamespace(content=SimpleNamespace(perfManager=manager))
    catalogue = Catalogue(COUNTERS, Intervals([]), ahead=timedelta())
    question = Question((2,), "", interval, samples)
    found = query(login, catalogue, [vim.VirtualMachine("vm-1")], question)
    return [sample.value for sample in found], specs[0]


def answer(figures: str) -> Any:
    perf = vim.PerformanceManager
    return perf.EntityMetricCSV(
        entity=vim.VirtualMachine("vm-1"),
        sampleInfoCSV="300,2026-11-22T03:00:00Z,300,2026-11-22T03:05:00Z,300,2026-11-22T03:10:00Z",
        value=[perf.MetricSeriesCSV(id=perf.MetricId(counterId=2, instance=""), value=figures)],
    )


def test_gaps_in_history_are_no_samples() -> None:
    assert asked([answer("5,-1,7")], Interval(300), 2)[0] == [5, 7]
    assert asked([answer("5,6,-1")], Interval(300), 1)[0] == [6]
    assert asked([answer("-1,-1,")], Interval(300), 1)[0] == []


def test_an_object_without_figures_has_none() -> None:
    bare = vim.PerformanceManager.EntityMetricCSV(entity=vim.VirtualMachine("vm-1"))
    assert asked([bare, answer("1,2,3")], REALTIME, 9)[0] == [1, 2, 3]


def test_history_is_asked_for_from_a_time_on_and_realtime_by_number() -> None:
    _, spec = asked([], Interval(1800), 10)
    assert spec.startTime is not None
    assert spec.maxSample is None
    _, spec = asked([], REALTIME, 10)
    assert (spec.startTime, spec.maxSample, spec.intervalId) == (None, 10, 20)
