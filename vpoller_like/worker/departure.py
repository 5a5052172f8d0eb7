"""How a worker ends: when it has nothing to do any more, or waits no longer."""

from __future__ import annotations

import math

#: Seconds for brokers to acknowledge the last results.
ACK_SECONDS = 5.0
#: As much of that as there is at least, also when the time to drain is over.
LAST_ACK_SECONDS = 1.0


class Departure:
    """Whether the worker is leaving, why, and until when. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.reason: str | None = None
        #: Whether no more tasks are to be taken.
        self.leaving = False
        self._requests = 0
        self._until = math.inf
        self._ack_until = math.inf

    @property
    def forced(self) -> bool:
        """Whether somebody has asked twice."""
        return self._requests > 1

    def request(self, until: float) -> None:
        """The worker's owner asks to drain ``until`` then."""
        self._requests += 1
        self.drain(until)

    def drain(self, until: float) -> None:
        """Finish what runs, but wait no longer than ``until``."""
        self.reason = "drained"
        self.leaving = True
        self._until = min(self._until, until)

    def retire(self) -> None:
        """Others take over: finish what runs, which ends by its own timeouts."""
        self.leaving = True

    def stick(self) -> bool:
        """A task never returns; say whether that is news."""
        if self.reason is not None:
            return False  # A process that drains already needs no replacement.
        self.reason = "stuck"
        self.leaving = True
        return True

    def is_over(self, unfinished: bool, unacknowledged: bool, now: float) -> bool:
        """Say whether it is time to go."""
        if unfinished and now < self._until:
            return False
        patience = min(now + ACK_SECONDS, max(self._until, now + LAST_ACK_SECONDS))
        self._ack_until = min(self._ack_until, patience)
        return not unacknowledged or now >= self._ack_until

    def next_due(self) -> float:
        """Return when :meth:`is_over` may say so for no other reason than time."""
        return self._until if self._ack_until == math.inf else self._ack_until
