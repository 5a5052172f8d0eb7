"""The kill loop's figures in plain lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from tests.support.kills import recovery
from tests.support.kills.history import KILL, ORPHAN, STOP
from tests.support.kills.judgement import (
    Evidence,
    lost_with_broker,
    lost_with_worker,
    most_lost_with_worker,
)
from tests.support.kills.prober import Probe

#: Breaches of one kind that are shown.
SHOWN = 5


def lines(
    evidence: Evidence,
    found: Mapping[str, Sequence[str]],
    seconds: float,
    probes: Sequence[Probe],
) -> Iterator[str]:
    """Yield the report."""
    yield from _work(evidence, seconds)
    yield from _blows(evidence)
    yield from _outcomes(evidence)
    yield from _times(evidence, probes)
    for name, breaches in found.items():
        yield f"{name:12} {len(breaches)}"
        yield from (f"    {breach}" for breach in breaches[:SHOWN])


def _work(evidence: Evidence, seconds: float) -> Iterator[str]:
    asked = sum(len(answers) for answers in evidence.answers.values())
    runs = sum(len(runs) for runs in evidence.runs.values())
    yield (
        f"requests     {evidence.requests}, {asked - len(evidence.answers)} of them asked again, "
        f"in {seconds:.1f} s: {evidence.requests / seconds:.0f} per second"
    )
    yield f"runs         {runs}, {runs - len(evidence.runs)} of them further ones of a request"


def _blows(evidence: Evidence) -> Iterator[str]:
    history = evidence.history
    yield (
        f"struck       {len(history.of(KILL))} worker kills, {len(history.of(STOP))} stops, "
        f"{len(history.of(ORPHAN))} orphaned, {len(history.deaths)} broker kills"
    )


def _outcomes(evidence: Evidence) -> Iterator[str]:
    codes = Counter(a.code or "success" for found in evidence.answers.values() for a in found)
    yield "answers      " + ", ".join(f"{code} {count}" for code, count in codes.most_common())
    with_broker = lost_with_broker(evidence)
    first = sum(evidence.answers[number][0].code == "worker_lost" for number in with_broker)
    yield (
        f"worker_lost  {len(lost_with_worker(evidence))} with a worker (at most "
        f"{most_lost_with_worker(evidence)}), {len(with_broker)} with a broker, "
        f"{first} of them when first asked"
    )


def _times(evidence: Evidence, probes: Sequence[Probe]) -> Iterator[str]:
    history = evidence.history
    waits = [probe.received - probe.sent for probe in probes]
    yield f"redelivery   after a kill: {recovery.spread(recovery.killed(evidence))}"
    yield f"redelivery   after a stop: {recovery.spread(recovery.stopped(evidence))}"
    yield (
        "first reply  after a broker's death: "
        f"{recovery.spread(recovery.first_replies(history, probes))}"
    )
    yield (
        "first reply  to what was under way: "
        f"{recovery.spread(recovery.under_way(history, probes))}"
    )
    yield f"a probe's    answer: {recovery.spread(waits)}"
