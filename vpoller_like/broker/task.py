"""One task, from its acceptance to its last reply."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING, NamedTuple

from vpoller_like.errors import IdReused
from vpoller_like.protocol.encoding import Encoding
from vpoller_like.protocol.envelope import Envelope

if TYPE_CHECKING:
    from vpoller_like.broker.routing import Route
    from vpoller_like.broker.worker import Worker

#: Whose id, and the id.
Key = tuple[str, str]


def id_reused(key: Key) -> IdReused:
    """Return the error for a second body under the id in ``key``."""
    return IdReused(f"meta.id {key[1]!r} was used for another request; give each one its own id")


class State(enum.Enum):
    """Where a task is."""

    #: Workers are being asked whether they know its id.
    SEEKING = "seeking"
    QUEUED = "queued"
    RUNNING = "running"
    #: With a plain REP worker.
    PLAIN = "plain"
    DONE = "done"


class Waiter(NamedTuple):
    """One client that waits for a task's reply."""

    envelope: Envelope
    #: The client sent ``meta`` and gets it back.
    wants_meta: bool
    #: On whose account it waits.
    share: bytes = b""


class Task:
    """A task and all that the broker knows of it. Times are monotonic seconds."""

    __slots__ = (
        "arrived",
        "attempt",
        "body",
        "deadline",
        "encoding",
        "fingerprint",
        "given_at",
        "key",
        "losses",
        "number",
        "priority",
        "route",
        "share",
        "state",
        "waiters",
        "worker",
    )

    def __init__(
        self,
        number: int,
        route: Route,
        body: bytes | None,
        *,
        share: bytes,
        encoding: Encoding,
        arrived: float,
        deadline: float,
        priority: int,
        key: Key | None = None,
        fingerprint: bytes | None = None,
    ) -> None:
        self.number = number
        self.route = route
        #: None for a run that a worker brought along and no client asked for yet.
        self.body = body
        #: Among whom the queue is fair.
        self.share = share
        self.encoding = encoding
        self.arrived = arrived
        self.deadline = deadline
        self.priority = priority
        self.key = key
        self.fingerprint = fingerprint
        self.waiters: list[Waiter] = []
        self.state = State.QUEUED
        self.worker: Worker | None = None
        self.given_at = arrived
        #: Counts givings to a worker; a result of an earlier one is dropped.
        self.attempt = 0
        #: How often its worker was lost.
        self.losses = 0

    @property
    def fate(self) -> str:
        """Say, of a task that waits, whether it has run."""
        return "a worker that was lost may have run it" if self.losses else "it has not run"
