"""One task in this process, from its assignment to its last acknowledged result."""

from __future__ import annotations

import msgspec

from vpoller_like.protocol.encoding import Encoding, encoding_of
from vpoller_like.protocol.worker import Assignment, Held
from vpoller_like.worker.compiled import compiled

#: Whose id, and the id.
IdKey = tuple[str, str]


@compiled
class Debt(msgspec.Struct, frozen=True, gc=False):
    """A broker that is owed the result, and the number and attempt it knows the task by."""

    link: int
    task: int
    attempt: int


@compiled
class Finished(msgspec.Struct, frozen=True, gc=False):
    """How the run ``key`` ended. ``code`` is empty for a success; ``body`` is the envelope."""

    key: int
    code: str
    ran_us: int
    body: bytes


@compiled
class Run(msgspec.Struct, eq=False, gc=False):
    """A task and all that this process knows of it. Times are monotonic seconds.

    The core's own, but for ``key``, ``item`` and ``brief``, which the executor reads.
    """

    key: int
    item: Assignment
    #: Who is owed the result. Usually the broker that gave the task, alone.
    debts: list[Debt]
    given_at: float
    #: By its method's pace, it is not worth a switch of threads.
    brief: bool = False
    started_at: float | None = None
    #: When it is given up, once it has started.
    deadline: float | None = None
    #: It has been running for longer than quick tasks do.
    slow: bool = False
    outcome: Finished | None = None
    #: Results of it that brokers have not acknowledged.
    unacknowledged: int = 0

    @property
    def encoding(self) -> Encoding:
        """How the request is written; not to be asked once it is only remembered."""
        return encoding_of(self.item.body)

    def shed(self) -> None:
        """Let go of the request's body: the run is over, and only remembered."""
        item = self.item
        self.item = Assignment(
            item.task,
            item.attempt,
            item.method,
            item.hostname,
            item.principal,
            item.id,
            item.fingerprint,
            b"",
        )

    def debt_to(self, link: int) -> Debt | None:
        """Return what is owed to ``link``; the latest, should there be several."""
        return next((debt for debt in reversed(self.debts) if debt.link == link), None)

    def held_for(self, task: int, attempt: int) -> Held:
        """Describe this run by the number that a debtee knows."""
        item = self.item
        return Held(
            task, attempt, item.method, item.hostname, item.principal, item.id, item.fingerprint
        )

    def own_debt(self, link: int) -> Debt:
        """Return what is owed to ``link``, or else what was first asked for."""
        return self.debt_to(link) or Debt(link, self.item.task, self.item.attempt)
