"""Many worlds in which everything goes wrong, and in each of them every promise is kept."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.simulation import invariants
from tests.simulation.mutants import KILLERS, PURE, Mutant
from tests.simulation.scenario import Outcome, play
from tests.simulation.sim_report import REQUIRED, Batch, played
from tests.support.cores import IS_PURE, pure_only

ROOT = Path(__file__).parents[2]
#: Seeds in all, and in one test.
SEEDS = 200
CHUNK = 40
#: Seeds within which a planted fault must be found.
MUTANT_SEEDS = 20
SAME_COURSE = "SameSeedSameCourse"


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """The cores log every lost worker; there are thousands."""
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_every_promise_is_kept_in_every_world(first: int) -> None:
    batch = played(range(first, first + CHUNK))
    report = "\n".join(batch.lines())
    print(report)
    assert not batch.failed, report
    assert not batch.missing, report


@pytest.mark.parametrize(
    ("mutant", "invariant"),
    [
        pytest.param(plant, name, id=plant.__name__, marks=pure_only if plant in PURE else ())
        for plant, name in KILLERS
    ],
)
def test_a_planted_fault_dies_by_the_invariant_named_for_it(mutant: Mutant, invariant: str) -> None:
    with mutant():
        assert _first_violation() == invariant


def _first_violation() -> str | None:
    for seed in range(MUTANT_SEEDS):
        outcome = play(seed)
        if outcome.violated is not None:
            return outcome.violated
        if _is_suspect(outcome) and play(seed).digest != outcome.digest:
            return SAME_COURSE
    return None


def _is_suspect(outcome: Outcome) -> bool:
    """Look twice at some seeds only; that is as good, and costs less."""
    return outcome.seed % 3 == 1


def test_every_invariant_has_a_planted_fault() -> None:
    named = {invariant for _, invariant in KILLERS}
    assert named == {kind.__name__ for kind in invariants.ALL} | {SAME_COURSE}


def _told(*options: str, **environment: str) -> str:
    """Return what the simulation prints, in a process of its own."""
    return subprocess.run(
        [sys.executable, str(ROOT / "tests/simulation/run.py"), *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_the_same_seed_takes_the_same_course_in_any_process() -> None:
    runs = [_told("--seed", "7", PYTHONHASHSEED=hashseed) for hashseed in ("1", "2")]
    assert runs[0] == runs[1]
    assert play(7).digest in runs[0]


@pytest.mark.skipif(IS_PURE, reason="no compiled core is there")
def test_the_compiled_core_takes_the_course_that_the_one_in_python_takes() -> None:
    options = ("--courses", "--first", "500", "--seeds", "40")
    assert _told(*options) == _told(*options, VPOLLER_PURE="1")


def test_different_seeds_take_different_courses() -> None:
    assert len({play(seed).digest for seed in range(5)}) == 5


def test_a_batch_in_which_something_never_happened_has_shown_nothing() -> None:
    batch = Batch()
    batch.add(Outcome(0, "", Counter({key: 1 for keys in REQUIRED.values() for key in keys})))
    assert batch.missing == []
    batch.seen["broker whohas_found"] = 0
    assert batch.missing == ["WHOHAS found"]
    assert "WHOHAS found" in list(batch.lines())[-1]


def test_a_failure_names_its_seed_and_the_command_that_replays_it() -> None:
    batch = Batch()
    batch.add(Outcome(17, "", Counter(), "RunsOnce", "RunsOnce: it ran twice"))
    report = "\n".join(batch.lines())
    assert "seed 17: RunsOnce: it ran twice" in report
    assert "python tests/simulation/run.py --seed 17 --trace" in report
