"""How a broker ends: it drains, says farewell, and is over."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from vpoller_like.broker.events import DrainAsked, Event, StopAsked

log = logging.getLogger("vpoller.broker")

#: Seconds between the last reply and the end. A DEALER with ZMQ_IMMEDIATE, such as our
#: client's, loses what it has received and not read when the connection breaks; and whoever
#: asks meanwhile hears that the broker shuts down.
FAREWELL_SECONDS = 0.25


class Ending:
    """The steps from the wish to end to the end. Times are monotonic seconds.

    ``drain_seconds`` is how long what was accepted may take to finish.
    """

    def __init__(self, drain_seconds: float) -> None:
        self._drain_seconds = drain_seconds
        self._drain_until: float | None = None
        self._told = False
        self._end_at: float | None = None

    def ask(self, now: float) -> bool:
        """Begin; return whether it had not begun yet."""
        if self._drain_until is not None:
            return False
        self._drain_until = now + self._drain_seconds
        return True

    @property
    def has_begun(self) -> bool:
        """Whether somebody has asked."""
        return self._drain_until is not None

    def events(self, at_rest: Callable[[], bool], now: float) -> Iterator[Event]:
        """Yield what the core is to be told now; ``at_rest`` says whether nobody waits there.

        Each is to be handled before the next one is asked for.
        """
        if self._drain_until is None:
            return
        if not self._told:
            self._told = True
            log.info("draining")
            yield DrainAsked()
        if self._end_at is None and (at_rest() or now > self._drain_until):
            self._end_at = now + FAREWELL_SECONDS
            yield StopAsked()

    def is_over(self, unread: int, now: float) -> bool:
        """Say whether this is the end; ``unread`` replies have not been taken yet."""
        if self._end_at is None or self._drain_until is None or now < self._end_at:
            return False
        return now > self._drain_until or not unread
