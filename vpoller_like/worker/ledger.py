"""Which broker is owed which result."""

from __future__ import annotations

from vpoller_like.protocol.worker import Assignment, Attempt, Have, Held, Possession, WhoHas
from vpoller_like.worker.debts import Debts, result_of
from vpoller_like.worker.figures import REMEMBERED
from vpoller_like.worker.run import Debt, Run


class Ledger(Debts):
    """Adds to the debts what is seldom: repeated requests, cancelled ones, lost memories."""

    @property
    def unacknowledged(self) -> bool:
        """Whether some broker does not have all its results yet."""
        return any(self._outboxes)

    def take_unwanted(self) -> list[int]:
        """Return :attr:`unwanted`, which begins anew."""
        keys, self.unwanted = self.unwanted, []
        return keys

    # Taking on -------------------------------------------------------------------------

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

    def expire(self, now: float) -> None:
        """Forget what was remembered long enough."""
        for run in self.memory.expire(now):
            self.runs.forget(run)

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
            result = result_of(run.outcome, debt)
            return Have(question.query, Possession.DONE, held, result)
        if debt not in run.debts:
            self.runs.owe(run, debt)
        return Have(question.query, Possession.RUNNING, held)
