"""Where a map's requests come from: an iterable, or what brings them over time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any, Protocol, runtime_checkable

from vpoller_like.clock import Clock, monotonic
from vpoller_like.errors import RequestError

#: A request, or what is wrong with the one that should be there.
Request = dict[str, Any] | RequestError

#: Seconds: what takes longer to draw is sent before more is drawn; and what has taken as long
#: as a pause once is drawn one at a time from then on.
_QUICK = 0.001
_PAUSE = 0.1


@runtime_checkable
class Source(Protocol):
    """Brings requests without ever blocking; clients' ``map`` takes one for an iterable."""

    @property
    def is_exhausted(self) -> bool:
        """Whether no more will come."""

    def draw(self, most: int) -> Sequence[Request]:
        """Return up to ``most`` requests that are there now.

        A ``RequestError`` among them stands for a request that cannot be made: it becomes
        the envelope in its place.
        """

    def filenos(self) -> list[int]:
        """Return descriptors of which one becomes readable when more may be there."""


class Iterated:
    """The requests of an iterable, which may block: several at once while it is quick.

    What is drawn together is sent together, so nothing may be drawn for which others would
    have to wait. That cannot be known before; one is drawn, then twice as many each time.
    """

    def __init__(self, requests: Iterable[dict[str, Any]], clock: Clock = monotonic) -> None:
        self._iterator = iter(requests)
        self._clock = clock
        self._burst = 1
        self._pauses = False
        self.is_exhausted = False

    def draw(self, most: int) -> Sequence[Request]:
        """Return up to ``most`` requests, and one at least unless there are no more."""
        count = min(most, self._burst)
        started = self._clock()
        requests = list(islice(self._iterator, count))
        self._learn(self._clock() - started)
        self.is_exhausted = len(requests) < count
        return requests

    def _learn(self, taken: float) -> None:
        self._pauses = self._pauses or taken > _PAUSE
        self._burst = 1 if self._pauses or taken > _QUICK else min(self._burst * 2, 1 << 20)

    def filenos(self) -> list[int]:
        """Return none: an iterable is asked, and does not tell."""
        return []


def source(requests: Iterable[dict[str, Any]] | Source) -> Source:
    """Return the source that brings ``requests``."""
    return requests if isinstance(requests, Source) else Iterated(requests)
