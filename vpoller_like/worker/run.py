"""One task in this process, from its assignment to its last acknowledged result."""

from __future__ import annotations

from typing import NamedTuple

from vpoller_like.protocol.encoding import Encoding, encoding_of
from vpoller_like.protocol.worker import Assignment, Held, Result

#: Whose id, and the id.
IdKey = tuple[str, str]


class Debt(NamedTuple):
    """A broker that is owed the result, and the number and attempt it knows the task by."""

    link: int
    task: int
    attempt: int


class Outcome(NamedTuple):
    """How a run ended. ``code`` is empty for a success; ``body`` is the reply's envelope."""

    code: str
    ran_us: int
    body: bytes


class Run:
    """A task and all that this process knows of it. Times are monotonic seconds."""

    __slots__ = (
        "deadline",
        "debts",
        "encoding",
        "given_at",
        "held",
        "key",
        "outcome",
        "slow",
        "started_at",
        "unacknowledged",
    )

    def __init__(self, key: int, link: int, item: Assignment, now: float) -> None:
        self.key = key
        self.held = Held(
            item.task,
            item.attempt,
            item.method,
            item.hostname,
            item.principal,
            item.id,
            item.fingerprint,
        )
        self.encoding: Encoding = encoding_of(item.body)
        #: Who is owed the result. Usually the broker that gave the task, alone.
        self.debts = [Debt(link, item.task, item.attempt)]
        self.given_at = now
        self.started_at: float | None = None
        #: When it is given up, once it has started.
        self.deadline: float | None = None
        #: It has been running for longer than quick tasks do.
        self.slow = False
        self.outcome: Outcome | None = None
        #: Results of it that brokers have not acknowledged.
        self.unacknowledged = 0

    @property
    def id_key(self) -> IdKey | None:
        """The request's id with its principal, where it has one."""
        return None if self.held.id is None else (self.held.principal, self.held.id)

    def debt_to(self, link: int) -> Debt | None:
        """Return what is owed to ``link``; the latest, should there be several."""
        return next((debt for debt in reversed(self.debts) if debt.link == link), None)

    def held_for(self, debt: Debt) -> Held:
        """Describe this run by the number that a debtee knows."""
        held = self.held
        return Held(
            debt.task,
            debt.attempt,
            held.method,
            held.hostname,
            held.principal,
            held.id,
            held.fingerprint,
        )

    def result_for(self, debt: Debt) -> Result:
        """Return the result under the number that a debtee knows; there must be one."""
        assert self.outcome is not None, "asked for the result of a run that is not over"
        code, ran_us, body = self.outcome
        return Result(debt.task, debt.attempt, code, ran_us, body)

    def own_debt(self, link: int) -> Debt:
        """Return what is owed to ``link``, or else what was first asked for."""
        return self.debt_to(link) or Debt(link, self.held.task, self.held.attempt)
