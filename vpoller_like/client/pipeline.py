"""Many requests at once, answered in the order in which they were asked."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vpoller_like.client.flight import Flight
from vpoller_like.client.outcome import Envelope
from vpoller_like.client.source import Request, Source, source
from vpoller_like.clock import Clock, monotonic
from vpoller_like.errors import RequestError
from vpoller_like.protocol.reply import failure_fields

#: How many windows of requests may be ahead of the oldest unanswered one, so that one slow
#: task does not hold up the rest, and its followers' replies do not pile up for ever.
_AHEAD = 8
#: Seconds for which envelopes that are there are handed out without looking at the network.
_FRESH = 0.001


class Pipeline:
    """Draws ``requests`` as they can be sent, at most ``window`` of them unanswered.

    Raises ``ValueError`` where ``window`` is below 1.
    """

    def __init__(
        self,
        flight: Flight,
        requests: Iterable[dict[str, Any]] | Source,
        window: int,
        clock: Clock = monotonic,
    ) -> None:
        if window < 1:
            raise ValueError(f"window: expected a number of requests above 0, got {window!r}")
        self._flight = flight
        self._source = source(requests)
        self._window = window
        self._clock = clock
        self._drawn = 0
        self._handed = 0
        self._look_again = clock()

    @property
    def is_finished(self) -> bool:
        """Whether every request's envelope has been handed out."""
        return self._handed == self._drawn and self._source.is_exhausted

    @property
    def is_due(self) -> bool:
        """Whether the next turn looks at the network, rather than only hand an envelope out."""
        return self._handed not in self._flight.landed or self._clock() >= self._look_again

    def turn(self) -> Envelope | None:
        """Do all that can be done now; return the next envelope in order, if it is there."""
        landed = self._flight.landed
        if self._handed not in landed or self._clock() >= self._look_again:
            self._look()
        envelope = landed.pop(self._handed, None)
        if envelope is not None:
            self._handed += 1
        return envelope

    def filenos(self) -> list[int]:
        """Return the descriptors to wait for, valid until the next turn."""
        arriving = self._source.filenos() if self._room() else []
        return self._flight.filenos() + arriving

    def patience(self) -> float:
        """Return after how many seconds the next turn is due at the latest."""
        return self._flight.patience()

    def _look(self) -> None:
        self._flight.turn()
        while (room := self._room()) and (requests := self._source.draw(room)):
            for request in requests:
                self._launch(request)
            self._flight.turn()
            if self._handed in self._flight.landed:
                break
        self._look_again = self._clock() + _FRESH

    def _room(self) -> int:
        """Return how many requests may be drawn now."""
        if self._source.is_exhausted:
            return 0
        ahead = self._handed + self._window * _AHEAD - self._drawn
        return max(0, min(self._window - len(self._flight), ahead))

    def _launch(self, request: Request) -> None:
        if isinstance(request, RequestError):
            self._flight.landed[self._drawn] = failure_fields(request)
        else:
            self._flight.launch(self._drawn, request)
        self._drawn += 1

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self._flight.close()
