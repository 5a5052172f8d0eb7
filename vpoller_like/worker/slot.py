"""One place for a worker process, which is filled anew when its process dies."""

from __future__ import annotations

import random

from vpoller_like.backoff import exponential
from vpoller_like.worker.child import Child

#: Seconds before a process that died is started again: at first, and at most.
RESTART_BASE = 0.2
RESTART_LIMIT = 30.0
#: At most for one that had come up: it died of what it was given, and others wait for it.
SERVED_LIMIT = 2.0
#: A process that has served for so many seconds did not die of its start.
SETTLED_SECONDS = 10.0


class Slot:
    """Times are monotonic seconds."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.child: Child | None = None
        #: When to start the next process; ``None`` while one runs, or if none is to.
        self.start_at: float | None = 0.0
        #: Why the last process could not serve.
        self.failure: str | None = None
        self._deaths = 0

    def fill(self, child: Child) -> None:
        """``child`` has been started here."""
        self.child = child
        self.start_at = None

    def vacate(self, now: float) -> None:
        """Its process serves no longer; another is to take its place at once."""
        self.child = None
        self.start_at = now

    def died(self, child: Child | None, now: float) -> float:
        """Its process is dead, or could not be started; return the seconds to the next try."""
        up_at = None if child is None else child.up_at
        if up_at is not None and now - up_at >= SETTLED_SECONDS:
            self._deaths = 0
        self._deaths += 1
        self.failure = None if child is None else child.failure
        limit = RESTART_LIMIT if up_at is None else SERVED_LIMIT
        delay = exponential(self._deaths, base=RESTART_BASE, limit=limit, jitter=random.random)
        self.child = None
        self.start_at = now + delay
        return delay

    def close(self) -> None:
        """Start no more processes here."""
        self.child = None
        self.start_at = None

    def is_due(self, now: float) -> bool:
        """Say whether to start a process now."""
        return self.start_at is not None and now >= self.start_at
