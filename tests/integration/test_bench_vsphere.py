"""The benchmark of the vSphere agent counts what it says, and its ways find the same."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("pyVmomi")

from tests.bench.vsphere import NAIVE, OURS, Failed, Line, Sample, lines, measure
from tests.support.vcsim import missing, require

MACHINES = 20


@pytest.fixture(scope="module")
def told() -> list[Line]:
    require(missing())
    failures: list[str] = []
    own = Path(sys.executable)
    # Where the answers differ, this raises.
    found = measure([MACHINES], 1, {OURS: own, NAIVE: own}, failures)
    assert failures == []
    return lines(found)


def calls(told: list[Line], way: str) -> dict[str, int]:
    return {line.job: line.calls for line in told if line.way == way}


def test_every_job_is_done_by_every_way(told: list[Line]) -> None:
    assert len(told) == 2 * len(calls(told, OURS))


def test_the_loop_pays_for_each_machine(told: list[Line]) -> None:
    assert calls(told, NAIVE)["vm.discover"] > MACHINES


def test_the_agent_needs_at_most_three_calls_for_any_job(told: list[Line]) -> None:
    assert set(calls(told, OURS).values()) <= {1, 2, 3}


def test_a_ratio_is_the_median_of_the_rounds_own() -> None:
    found = {
        (10, "job", OURS): [Sample(1.0, 1), Sample(2.0, 1), Sample(4.0, 1)],
        (10, "job", NAIVE): [Sample(2.0, 9), Sample(10.0, 9), Sample(12.0, 9)],
    }
    line = next(line for line in lines(found) if line.way == NAIVE)
    assert (line.ms, line.ratio, line.least, line.greatest) == (10.0, 3.0, 2.0, 5.0)


def test_answers_that_differ_end_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    require(missing())
    own = Path(sys.executable)
    monkeypatch.setattr("tests.bench.vsphere.Running.do", lambda way, _: (1.0, way.name))
    with pytest.raises(Failed, match="differ"):
        measure([MACHINES], 0, {OURS: own, NAIVE: own}, [])
