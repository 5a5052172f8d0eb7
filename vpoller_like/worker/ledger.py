"""Which broker is owed which result."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from vpoller_like.protocol.worker import Assignment, Attempt, Have, Held, Possession, Result, WhoHas
from vpoller_like.worker.memory import REMEMBERED, Memory
from vpoller_like.worker.outbox import Outbox
from vpoller_like.worker.run import Debt, Finished, Run
from vpoller_like.worker.runs import Runs

#: Bytes of a request that is let go of as soon as it has run.
LARGE = 64 * 1024


class Ledger:
    """Owns the runs, what is on its way to the brokers, and what is remembered."""

    def __init__(self, outboxes: Sequence[Outbox], memory: Memory) -> None:
        self.runs = Runs()
        self.memory = memory
        self._outboxes = outboxes
        #: Keys of waiting runs whose result nobody is owed any more.
        self.unwanted: list[int] = []

    @property
    def unacknowledged(self) -> bool:
        """Whether some broker does not have all its results yet."""
        return any(self._outboxes)

    def take_unwanted(self) -> list[int]:
        """Return :attr:`unwanted`, which begins anew."""
        keys, self.unwanted = self.unwanted, []
        return keys

    # Taking on -------------------------------------------------------------------------

    def take(
        self, link: int, items: Iterable[Assignment], is_brief: Callable[[str], bool], now: float
    ) -> list[Run]:
        """Take on tasks; return what is new to be run for them, in their order.

        ``is_brief`` says so of a method.
        """
        known_as, add = self.runs.numbers[link].get, self.runs.add
        taken = []
        for item in items:
            known = known_as(item.task)
            if (known is None and item.id is None) or self._is_new(known, link, item, now):
                taken.append(add(link, item, is_brief(item.method), now))
        return taken

    def _is_new(self, known: Run | None, link: int, item: Assignment, now: float) -> bool:
        if known is not None and not self._supersedes(known, link, item):
            return False
        same = None if item.id is None else self._same_request(item)
        if same is not None:
            self._attach(same, Debt(link, item.task, item.attempt), now)
        return same is None

    def _supersedes(self, known: Run, link: int, item: Assignment) -> bool:
        """Say whether ``item`` is a later attempt than what is ``known`` under its number.

        A known one that waits is given up for it; one that runs is let run, and its
        result names its own attempt, which the broker tells from the new one.
        """
        earlier = [debt for debt in known.debts if (debt.link, debt.task) == (link, item.task)]
        if any(item.attempt <= debt.attempt for debt in earlier):
            return False
        if known.item.id is None and known.key in self.runs.waiting:
            for debt in earlier:
                self._release(known, debt)
        return True

    def _same_request(self, item: Assignment) -> Run | None:
        """Return what is known of the request that ``item`` repeats.

        It is not run twice: a broker that asks has lost its memory.
        """
        run = self.runs.by_id(item.principal, item.id)
        if run is None or run.item.fingerprint != item.fingerprint:
            return None
        over_in_vain = run.outcome is not None and run.outcome.code not in REMEMBERED
        return None if over_in_vain else run

    def _attach(self, run: Run, debt: Debt, now: float) -> None:
        self.runs.owe(run, debt)
        if run.outcome is not None:
            self.memory.take_out(run)
            self._pay(run, run.outcome, [debt], now)

    # Giving up -------------------------------------------------------------------------

    def cancel(self, link: int, attempt: Attempt) -> None:
        """The broker does not wait for this any more."""
        run = self.runs.by_task(link, attempt.task)
        if run is None or run.outcome is not None:
            return
        debt = Debt(link, attempt.task, attempt.attempt)
        if debt in run.debts:
            self._release(run, debt)

    def disown(self, link: int, now: float) -> None:
        """The broker has lost its memory: what has no id means nothing to it any more."""
        for run, debt in self.runs.owed_to(link):
            if run.item.id is None:
                self._release(run, debt)
        self._paid(self._outboxes[link].discard(lambda run: run.item.id is None), now)

    def _release(self, run: Run, debt: Debt) -> None:
        self.runs.release(run, debt)
        if not run.debts and run.key in self.runs.waiting:
            self.unwanted.append(run.key)

    # Paying ----------------------------------------------------------------------------

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

    def expire(self, now: float) -> None:
        """Forget what was remembered long enough."""
        for run in self.memory.expire(now):
            self.runs.forget(run)

    def _pay(self, run: Run, outcome: Finished, debts: Iterable[Debt], now: float) -> None:
        for debt in debts:
            run.unacknowledged += 1
            self._outboxes[debt.link].add(run, _result(outcome, debt), now)

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

    # Telling ---------------------------------------------------------------------------

    def held(self, link: int) -> list[Held]:
        """Return all that the broker is owed, for HELLO."""
        over = [(run, result.task, result.attempt) for run, result in self._outboxes[link]]
        due = [(run, debt.task, debt.attempt) for run, debt in self.runs.owed_to(link)]
        return [run.held_for(task, attempt) for run, task, attempt in [*over, *due]]

    def answer(self, link: int, question: WhoHas) -> Have:
        """Say what is known of an id. A broker that hears it runs is owed the result."""
        run = self.runs.by_id(question.principal, question.id)
        if run is None:
            return Have(question.query, Possession.NONE)
        if run.item.fingerprint != question.fingerprint:
            return Have(question.query, Possession.OTHER)
        debt = run.own_debt(link)
        held = run.held_for(debt.task, debt.attempt)
        if run.outcome is not None:
            result = _result(run.outcome, debt)
            return Have(question.query, Possession.DONE, held, result)
        if debt not in run.debts:
            self.runs.owe(run, debt)
        return Have(question.query, Possession.RUNNING, held)


def _result(outcome: Finished, debt: Debt) -> Result:
    """Return the result under the number that a debtee knows."""
    return Result(debt.task, debt.attempt, outcome.code, outcome.ran_us, outcome.body)
