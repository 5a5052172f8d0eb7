"""Many requests at once, answered in the order in which they were asked."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Any

from vpoller_like.client.flight import Flight
from vpoller_like.client.outcome import Envelope

#: How many windows of requests may be ahead of the oldest unanswered one, so that one slow
#: task does not hold up the rest, and its followers' replies do not pile up for ever.
_AHEAD = 8


class Pipeline:
    """Draws ``requests`` as they can be sent, at most ``window`` of them unanswered.

    Raises ``ValueError`` where ``window`` is below 1.
    """

    def __init__(self, flight: Flight, requests: Iterable[dict[str, Any]], window: int) -> None:
        if window < 1:
            raise ValueError(f"window: expected a number of requests above 0, got {window!r}")
        self.flight = flight
        self._source = iter(requests)
        self._window = window
        self._drawn = 0
        self._handed = 0
        self._exhausted = False

    @property
    def is_finished(self) -> bool:
        """Whether every request's envelope has been handed out."""
        return self._exhausted and self._handed == self._drawn

    def turn(self) -> Envelope | None:
        """Do all that can be done now; return the next envelope in order, if it is there."""
        self.flight.turn()
        while self._has_room():
            self._draw()
            self.flight.turn()
            if self._handed in self.flight.landed:
                break
        envelope = self.flight.landed.pop(self._handed, None)
        if envelope is not None:
            self._handed += 1
        return envelope

    def _has_room(self) -> bool:
        if self._exhausted or len(self.flight) >= self._window:
            return False
        return self._drawn - self._handed < self._window * _AHEAD

    def _draw(self) -> None:
        try:
            message = next(self._source)
        except StopIteration:
            self._exhausted = True
            return
        self.flight.launch(self._drawn, message)
        self._drawn += 1

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.flight.close()
