"""How long it took until work went on. Times are seconds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from tests.support.kills.entries import Run
from tests.support.kills.history import KILL, STOP, Death, History
from tests.support.kills.judgement import Evidence
from tests.support.kills.prober import Probe


class Spread(NamedTuple):
    """How times are distributed."""

    count: int
    p50: float
    p99: float
    longest: float

    def __str__(self) -> str:
        if not self.count:
            return "never seen"
        return (
            f"p50 {self.p50:.3f} s, p99 {self.p99:.3f} s, max {self.longest:.3f} s "
            f"({self.count} times)"
        )


def spread(times: Sequence[float]) -> Spread:
    """Sum ``times`` up; percentiles are those of the nearest rank."""
    ranked = sorted(times)
    if not ranked:
        return Spread(0, 0.0, 0.0, 0.0)
    return Spread(len(ranked), _rank(ranked, 0.5), _rank(ranked, 0.99), ranked[-1])


def _rank(ranked: Sequence[float], share: float) -> float:
    return ranked[max(0, -int(-share * len(ranked) // 1) - 1)]


def redelivery(evidence: Evidence, kind: str) -> list[float]:
    """Return the time from each blow of a ``kind`` to the next run of what ran there.

    What a broker's death came between tells of the broker and is left out.
    """
    return list(_redelivery(evidence, kind))


def _redelivery(evidence: Evidence, kind: str) -> Iterator[float]:
    ends = {blow.pid: blow for blow in evidence.history.of(kind)}
    for runs in evidence.runs.values():
        for first, second in pairwise(runs):
            blow = ends.get(first.pid)
            if blow is None or not _ran_at(first, blow.at) or second.started < blow.at:
                continue
            if not evidence.history.broker_died_within(blow.at, second.started):
                yield second.started - blow.at


def _ran_at(run: Run, when: float) -> bool:
    return run.started <= when and (run.ended is None or run.ended > when)


def killed(evidence: Evidence) -> list[float]:
    """Return the times from a worker's death to redelivery."""
    return redelivery(evidence, KILL)


def stopped(evidence: Evidence) -> list[float]:
    """Return the times from a worker's standstill to redelivery."""
    return redelivery(evidence, STOP)


def first_replies(history: History, probes: Sequence[Probe]) -> list[float]:
    """Return the time from each broker's death to the first answer by its successor."""
    return [at - death.at for death, at in revivals(history, probes).items()]


def revivals(history: History, probes: Sequence[Probe]) -> dict[Death, float]:
    """Return when each dead broker's successor, or its successor's, first answered."""
    found = {}
    for death in history.deaths:
        later = [probe.received for probe in probes if probe.sent >= death.successor]
        if later:
            found[death] = min(later)
    return found


def under_way(history: History, probes: Sequence[Probe]) -> list[float]:
    """Return the time from brokers' deaths to the answers of what was under way then."""
    return [
        probe.received - death.at
        for death in history.deaths
        for probe in probes
        if probe.sent <= death.at < probe.received
    ]
