"""What is taken on, what is owed for it, and what has been paid: the usual way of a task."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from vpoller_like.protocol.worker import Assignment, Result
from vpoller_like.worker.compiled import compiled
from vpoller_like.worker.figures import LARGE, REMEMBERED
from vpoller_like.worker.memory import Memory
from vpoller_like.worker.outbox import Outbox
from vpoller_like.worker.run import Debt, Finished, Run
from vpoller_like.worker.runs import Runs


@compiled
class Debts:
    """Owns the runs, what is on its way to the brokers, and what is remembered.

    Who derives from it says what is to be done with a task whose id or number is known
    (``_is_new``).
    """

    def __init__(self, outboxes: Sequence[Outbox], memory: Memory) -> None:
        self.runs = Runs()
        self.memory = memory
        self._outboxes = list(outboxes)
        #: Keys of waiting runs whose result nobody is owed any more.
        self.unwanted: list[int] = []

    def take(
        self, link: int, items: Iterable[Assignment], is_brief: Callable[[str], bool], now: float
    ) -> list[Run]:
        """Take on tasks; return what is new to be run for them, in their order.

        ``is_brief`` says so of a method.
        """
        known_as, by_id, add = self.runs.numbers[link].get, self.runs.by_id, self.runs.add
        taken = []
        for item in items:
            known = known_as(item.task)
            is_known = known is not None or by_id(item.principal, item.id) is not None
            if not is_known or self._is_new(known, link, item, now):
                taken.append(add(link, item, is_brief(item.method), now))
        return taken

    def conclude(self, run: Run, outcome: Finished, now: float) -> None:
        """``run`` is over: send its result to all who are owed it."""
        run.outcome = outcome
        if len(run.item.body) > LARGE:
            # What is not acknowledged yet is kept, and the request is not needed for that.
            run.shed()
        if run.debts:
            self._pay(run, outcome, run.debts, now)
        else:
            self._settle(run, now)

    def acknowledge(self, link: int, seq: int, now: float) -> None:
        """The broker has all results up to ``seq``."""
        self._paid(self._outboxes[link].acknowledge(seq), now)

    def _is_new(self, known: Run | None, link: int, item: Assignment, now: float) -> bool:
        raise NotImplementedError

    def _pay(self, run: Run, outcome: Finished, debts: Iterable[Debt], now: float) -> None:
        for debt in debts:
            run.unacknowledged += 1
            self._outboxes[debt.link].add(run, result_of(outcome, debt), now)

    def _paid(self, runs: Iterable[Run], now: float) -> None:
        for run in runs:
            run.unacknowledged -= 1
            if not run.unacknowledged:
                self._settle(run, now)

    def _settle(self, run: Run, now: float) -> None:
        self.runs.settle(run)
        if run.item.id is None:
            return
        if run.outcome is None or run.outcome.code not in REMEMBERED:
            self.runs.forget(run)
            return
        for evicted in self.memory.keep(run, now):
            self.runs.forget(evicted)


def result_of(outcome: Finished, debt: Debt) -> Result:
    """Return the result under the number that a debtee knows."""
    return Result(debt.task, debt.attempt, outcome.code, outcome.ran_us, outcome.body)
