"""Whether what was written down keeps the promises.

Each function looks for one kind of breach and returns a sentence for each one found; the
numbers in it lead to the ledgers and answers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple

from tests.support.kills.entries import Answer, Run
from tests.support.kills.history import KILL, STOP, History
from tests.support.kills.plan import Plan

#: Outcomes that an id keeps.
REMEMBERED = frozenset(["", "task_failed", "worker_lost"])
#: What a client says that got no answer in all its patience.
SILENT = frozenset(["timeout", "unreachable"])
#: Seconds for which an id is sure to be remembered.
MEMORY = 55.0
#: Seconds after which an asking may have moved to another broker: with the connection on which
#: some older one had waited for its whole try.
PATIENCE = 1.0


class Evidence(NamedTuple):
    """All that is known of a run of the kill loop. ``slots`` are those of one worker process."""

    plan: Plan
    requests: int
    history: History
    slots: int
    answers: Mapping[int, Sequence[Answer]]
    runs: Mapping[int, Sequence[Run]]


Breaches = Iterator[str]


def gather(
    plan: Plan,
    requests: int,
    history: History,
    slots: int,
    answers: Iterable[Answer],
    runs: Iterable[Run],
) -> Evidence:
    """Put together what belongs to one request, in the order of time."""
    by_number: dict[int, list[Answer]] = defaultdict(list)
    for answer in answers:
        by_number[answer.number].append(answer)
    by_run: dict[int, list[Run]] = defaultdict(list)
    for run in runs:
        by_run[run.number].append(run)
    for replies in by_number.values():
        replies.sort(key=lambda answer: answer.received)
    for done in by_run.values():
        done.sort(key=lambda run: run.started)
    return Evidence(plan, requests, history, slots, by_number, by_run)


def lost(evidence: Evidence) -> Breaches:
    """Find requests without an answer, and successes that never ran."""
    for number in range(evidence.requests):
        answers = evidence.answers.get(number, ())
        if not answers:
            yield f"request {number} came to no end"
        for answer in answers:
            if answer.code in SILENT:
                waited = answer.received - answer.sent
                yield f"request {number} got no answer in {waited:.1f} s: {answer.value}"
            elif answer.code == "" and answer.value not in _values(evidence, number):
                yield f"request {number} succeeded as {answer.value}, which never ran"


def _values(evidence: Evidence, number: int) -> set[str]:
    return {run.value for run in evidence.runs.get(number, ())}


def unserved(evidence: Evidence) -> Breaches:
    """Find errors that no kill explains.

    A broker that has waited for workers as long as it says, and has none, may say so.
    """
    expected = REMEMBERED | SILENT
    for number, answers in evidence.answers.items():
        for answer in answers:
            if answer.code in expected or _has_no_worker(evidence.history, answer):
                continue
            yield f"request {number} was answered {answer.code}: {answer.value}"


def _has_no_worker(history: History, answer: Answer) -> bool:
    return answer.code == "unknown_method" and history.no_worker_was_back(answer.received)


def changed(evidence: Evidence) -> Breaches:
    """Find ids whose later reply differs from the earlier one where it must not."""
    for number, answers in evidence.answers.items():
        kept = [answer for answer in answers if answer.code in REMEMBERED]
        for first, second in pairwise(kept):
            if _same(first, second) or not _must_agree(evidence.history, first, second):
                continue
            yield (
                f"request {number} was answered {first.code or first.value}, and "
                f"{second.received - first.received:.1f} s later {second.code or second.value}"
            )


def _same(first: Answer, second: Answer) -> bool:
    return (first.code, first.value) == (second.code, second.value)


def _must_agree(history: History, first: Answer, second: Answer) -> bool:
    if second.received - first.received > MEMORY:
        return False
    life = history.life_at(first.received)
    if life is not None and life == history.life_at(second.received):
        return True
    if first.code:
        # Who says that it may have run does not contradict who knows.
        return False
    if history.brokers > 1 and not second.code:
        # Each of them remembers the run that it heard of. That both ran is for
        # :func:`unexplained` to judge, and that neither did for :func:`lost`.
        return False
    return history.lived_through(_pid(first), first.sent, second.received)


def _pid(answer: Answer) -> int:
    return int(answer.value.partition(".")[0])


def rerun(evidence: Evidence) -> Breaches:
    """Find requests that may run once only and ran more often."""
    for number, runs in evidence.runs.items():
        if len(runs) > 1 and not evidence.plan.request(number).is_safe:
            where = ", ".join(str(run.pid) for run in runs)
            yield f"request {number} may run once and ran {len(runs)} times, in {where}"


def unexplained(evidence: Evidence) -> Breaches:
    """Find further runs of a request without anything that befell the worker before.

    A further run is explained by a blow to the process of the run before it, or by its
    being that of a process that was stopped and came back with its old tasks; where there are
    several brokers also by a client that moved to another one while the request still waited
    at the first.
    """
    history = evidence.history
    for number, runs in evidence.runs.items():
        for first, second in pairwise(runs):
            earlier = any(history.blows_to(first.pid, second.started))
            zombie = any(b.kind == STOP for b in history.blows_to(second.pid, second.started))
            moved = _has_moved(evidence, number, first.started, second.started)
            if not (earlier or zombie or moved):
                yield (
                    f"request {number} ran in {first.pid} and again in {second.pid} "
                    f"{second.started - first.started:.3f} s later, with nothing done to either"
                )


def _has_moved(evidence: Evidence, number: int, since: float, until: float) -> bool:
    """Say whether somebody who asked before ``since`` had waited long enough at ``until``."""
    return evidence.history.brokers > 1 and any(
        answer.sent <= since <= answer.received and until - answer.sent >= PATIENCE
        for answer in evidence.answers.get(number, ())
    )


def lost_with_worker(evidence: Evidence) -> set[int]:
    """Return the requests answered ``worker_lost`` because a worker was lost with them."""
    return {
        number
        for number, answers in evidence.answers.items()
        if any(answer.code == "worker_lost" and answer.worker for answer in answers)
    }


def lost_with_broker(evidence: Evidence) -> set[int]:
    """Return the requests answered ``worker_lost`` because nobody knows their id any more."""
    return {
        number
        for number, answers in evidence.answers.items()
        if any(answer.code == "worker_lost" and not answer.worker for answer in answers)
    }


def most_lost_with_worker(evidence: Evidence) -> int:
    """Return how many tasks that run once the blows can have cost: a slot's worth each."""
    history = evidence.history
    return (len(history.of(KILL)) + len(history.of(STOP))) * evidence.slots


def too_many_lost(evidence: Evidence) -> Breaches:
    """Find more ``worker_lost`` than kills times slots, and such without a kill."""
    count, most = len(lost_with_worker(evidence)), most_lost_with_worker(evidence)
    if count > most:
        yield f"{count} requests are worker_lost; {most} are the most that the kills explain"
    for number in lost_with_broker(evidence):
        answers = evidence.answers[number]
        moved = any(_has_moved(evidence, number, a.received, a.received) for a in answers)
        died = evidence.history.broker_died_within(answers[0].sent, answers[-1].received)
        if not (died or moved or _knower_is_gone(evidence, number)):
            yield f"request {number}: no worker knows of it, though no broker has died meanwhile"


def _knower_is_gone(evidence: Evidence, number: int) -> bool:
    """Say whether who ran it was struck before another broker asked who knows of it."""
    history, asked = evidence.history, evidence.answers[number][-1].received
    return history.brokers > 1 and any(
        any(history.blows_to(run.pid, asked)) for run in evidence.runs.get(number, ())
    )


#: Each promise's name, and who looks for breaches of it.
PROMISES = {
    "lost": lost,
    "changed": changed,
    "re-executed": rerun,
    "unexplained": unexplained,
    "worker_lost": too_many_lost,
    "unserved": unserved,
}


def breaches(evidence: Evidence) -> dict[str, list[str]]:
    """Return what was found, by the promise that it breaks."""
    return {name: list(look(evidence)) for name, look in PROMISES.items()}
