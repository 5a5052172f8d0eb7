"""A sample from a little earlier, to compare the present one with."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")

#: Seconds. The kernel counts CPU time in hundredths of a second, so that a shorter
#: window says 0 % or 100 % of a core and little between.
WINDOW = 1.0


class Sample(NamedTuple, Generic[T]):
    """A value and when it was taken, in monotonic seconds."""

    at: float
    value: T


class Baseline(Generic[T]):
    """Keeps two samples, so that there is always one that is old enough to compare with.

    Each look compares with a sample from an earlier look, ``WINDOW`` seconds ago or more
    as soon as there is one, and so waits for nothing. Threads may share it.
    """

    def __init__(self, first: T, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._older = self._newer = Sample(clock(), first)

    def look(self, value: T) -> tuple[Sample[T], Sample[T]]:
        """Return the earlier sample and, as a sample, ``value``, which is taken now."""
        with self._lock:
            now = Sample(self._clock(), value)
            if now.at - self._newer.at >= WINDOW:
                self._older, self._newer = self._newer, now
            return self._older, now
