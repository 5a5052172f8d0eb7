"""One task, from its acceptance to its last reply."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.events import Request, Share
from vpoller_like.broker.state import State
from vpoller_like.errors import IdReused
from vpoller_like.protocol.encoding import Encoding

if TYPE_CHECKING:
    from vpoller_like.broker.routing import Route
    from vpoller_like.broker.worker import Worker

#: Whose id, and the id.
Key = tuple[str, str]


def id_reused(key: Key) -> IdReused:
    """Return the error for a second body under the id in ``key``."""
    return IdReused(f"meta.id {key[1]!r} was used for another request; give each one its own id")


@compiled
class Task(msgspec.Struct, eq=False, gc=False):
    """A task and all that the broker knows of it. Times are monotonic seconds.

    The collector of cycles need not look at it, however many wait: what refers to a task,
    its worker and the queues, lets go of it when it ends.
    """

    number: int
    route: Route
    #: None for a run that a worker brought along and no client asked for yet.
    body: bytes | None
    #: On whose account it waits, if it has to.
    share: Share
    encoding: Encoding
    arrived: float
    deadline: float
    priority: int
    key: Key | None = None
    fingerprint: bytes | None = None
    #: Whose reply it is.
    waiters: list[Request] = []
    state: State = State.QUEUED
    worker: Worker | None = None
    given_at: float = 0.0
    #: Counts givings to a worker; a result of an earlier one is dropped.
    attempt: int = 0
    #: How often its worker was lost.
    losses: int = 0
    #: The timetable's: under which slot it is entered; 0 is none.
    slot: int = 0

    @property
    def fate(self) -> str:
        """Say, of a task that waits, whether it has run."""
        return "a worker that was lost may have run it" if self.losses else "it has not run"
