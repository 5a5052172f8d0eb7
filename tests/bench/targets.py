"""What the broker is to reach, and whether a run has shown it.

With workers in Python the ratios that are wanted are to ``zmq.proxy`` before REP workers as most
are written. To the leanest that can be, the same ratios are told, and nothing is promised.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from tests.bench import original
from tests.bench.results import Figure, Results, broker_cpu, p50, rate
from tests.bench.rows import (
    BATCHED,
    FLOOD,
    MANY_REQ,
    ONE_DEALT,
    ONE_REQ,
    WINDOW,
    Load,
    Row,
    Workers,
)
from tests.bench.ways import BASE, OURS, OURS_C, USUAL


class Goal(NamedTuple):
    """One ratio to ``base``: at least, or at most, so much."""

    name: str
    row: Row
    way: str
    figure: Figure
    bound: float
    at_least: bool = True
    base: str = BASE

    def is_met(self, found: float) -> bool:
        """Say whether ``found`` is good enough."""
        return found >= self.bound if self.at_least else found <= self.bound


class Verdict(NamedTuple):
    """A goal, and the median ratio that was found.

    ``lean`` is the one to ``zmq.proxy`` and the leanest workers, where the goal's is to others.
    """

    goal: Goal
    found: float
    lean: float | None

    @property
    def is_met(self) -> bool:
        """Whether it was reached."""
        return self.goal.is_met(self.found)


class _Wanted(NamedTuple):
    """A goal for both transports: what the one in C is to reach, and the one without."""

    name: str
    workers: Workers
    load: Load
    figure: Figure
    with_c: float
    pure: float
    at_least: bool = True


_WANTED = (
    _Wanted("requests per second, Python workers", "python", WINDOW, rate, 0.95, 0.60),
    _Wanted("requests per second, broker-bound", "c", FLOOD, rate, 0.70, 0.25),
    _Wanted("requests per second, 64 clients", "python", MANY_REQ, rate, 0.95, 0.50),
    _Wanted("batched submit, Python workers", "python", BATCHED, rate, 1.0, 1.0),
    _Wanted("batched submit, broker-bound", "c", BATCHED, rate, 0.85, 0.85),
    _Wanted("p50 with one client", "python", ONE_REQ, p50, 1.3, 1.3, at_least=False),
    _Wanted("broker CPU, DEALER 64", "python", WINDOW, broker_cpu, 1.15, 2.5, at_least=False),
    _Wanted("broker CPU, 64 clients", "python", MANY_REQ, broker_cpu, 1.15, 2.5, at_least=False),
)
#: The original in its own rows: Python workers, and in C where its proxy is the limit. With one
#: request under way, nothing can be twice as fast: the network takes most of the time.
_FACTORS: tuple[tuple[Workers, Load, float], ...] = (
    ("python", ONE_REQ, 1.0),
    ("python", ONE_DEALT, 1.0),
    ("python", MANY_REQ, 2.0),
    ("python", WINDOW, 2.0),
    ("python", FLOOD, 2.0),
    ("c", MANY_REQ, 2.0),
    ("c", WINDOW, 10.0),
    ("c", FLOOD, 10.0),
)


def verdicts(results: Results) -> list[Verdict]:
    """Return what is known of each goal whose row was measured."""
    found = []
    for goal in _goals():
        ratio = results.ratio(goal.row, goal.way, goal.figure, goal.base)
        if ratio is not None:
            found.append(Verdict(goal, ratio.median, _lean(results, goal)))
    return found


def _lean(results: Results, goal: Goal) -> float | None:
    if goal.base != USUAL:
        return None
    ratio = results.ratio(goal.row, goal.way, goal.figure)
    return None if ratio is None else ratio.median


def _goals() -> Iterator[Goal]:
    for wanted in _WANTED:
        for meta in (False, True):
            for transport, bound in (("c", wanted.with_c), ("pure", wanted.pure)):
                row = Row(wanted.workers, wanted.load, meta=meta)
                way = OURS[transport]
                base = USUAL if wanted.workers == "python" else BASE
                yield Goal(wanted.name, row, way, wanted.figure, bound, wanted.at_least, base)
    for workers, load, factor in _FACTORS:
        row = Row(workers, load)
        name = f"vPoller's requests per second, {load.name}"
        yield Goal(name, row, OURS_C, rate, factor, base=original.NAME)
    run = Row("python", Load("run", in_python=True))
    yield Goal("vPoller's client.run()", run, OURS_C, p50, 0.5, False, original.NAME)
