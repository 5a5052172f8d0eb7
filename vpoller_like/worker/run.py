"""One task in this process, from its assignment to its last acknowledged result."""

from __future__ import annotations

import msgspec

from vpoller_like.protocol.encoding import Encoding, encoding_of
from vpoller_like.protocol.worker import Assignment, Held, Result

#: Whose id, and the id.
IdKey = tuple[str, str]


class Debt(msgspec.Struct, frozen=True, gc=False):
    """A broker that is owed the result, and the number and attempt it knows the task by."""

    link: int
    task: int
    attempt: int


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """How a run ended. ``code`` is empty for a success; ``body`` is the reply's envelope."""

    code: str
    ran_us: int
    body: bytes


class Run:
    """A task and all that this process knows of it. Times are monotonic seconds."""

    __slots__ = (
        "_held",
        "_item",
        "deadline",
        "debts",
        "given_at",
        "id_key",
        "key",
        "method",
        "outcome",
        "slow",
        "started_at",
        "unacknowledged",
    )

    def __init__(self, key: int, link: int, item: Assignment, now: float) -> None:
        self.key = key
        self.method = item.method
        # Most runs are over before anybody asks what the worker holds.
        self._item: Assignment | None = item
        self._held: Held | None = None
        #: The request's id with its principal, where it has one.
        self.id_key: IdKey | None = None if item.id is None else (item.principal, item.id)
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
    def held(self) -> Held:
        """What is told of it in HELLO, under the number that it came with."""
        if self._held is None:
            item = self._item
            assert item is not None, "a run without its task"
            self._held = Held(
                item.task,
                item.attempt,
                item.method,
                item.hostname,
                item.principal,
                item.id,
                item.fingerprint,
            )
        return self._held

    @property
    def encoding(self) -> Encoding:
        """How the request is written; not to be asked once it is only remembered."""
        assert self._item is not None, "a run without its task"
        return encoding_of(self._item.body)

    def shed(self) -> None:
        """Let go of the request's body: the run is over, and only remembered."""
        self._held = self.held
        self._item = None

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
        outcome = self.outcome
        return Result(debt.task, debt.attempt, outcome.code, outcome.ran_us, outcome.body)

    def own_debt(self, link: int) -> Debt:
        """Return what is owed to ``link``, or else what was first asked for."""
        return self.debt_to(link) or Debt(link, self.held.task, self.held.attempt)
