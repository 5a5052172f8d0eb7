"""A circuit breaker: a host that is dead or hangs is not asked again and again."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Literal

import msgspec

from workers.vsphere.faults import NotYet

_log = logging.getLogger("vpoller.agent.vsphere")

#: Seconds between tries: after the first failure, and the most that it grows to.
FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0

State = Literal["closed", "open", "half-open"]


class Outage(msgspec.Struct):
    """A host that does not answer: the latest failure, and when it is tried again."""

    error: Exception
    since: float
    failed_at: float
    failures: int = 0
    next_try: float = 0.0
    is_tried: bool = False


class Breaker:
    """Says whether a host may be asked; any number of threads may share it.

    It is *closed* while the host answers, *open* while it is taken for dead, and
    *half-open* while one caller, told so by :meth:`admit`, tries it. The pause between
    tries doubles from ``FIRST_PAUSE`` up to ``LONGEST_PAUSE`` seconds, of which ``jitter``,
    a number in [0, 1), takes off up to a half: hosts that failed together are not tried
    together. ``clock`` returns seconds, monotonic. ``host`` is for the log.
    """

    def __init__(
        self,
        host: str = "",
        clock: Callable[[], float] = time.monotonic,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._host = host
        self._clock = clock
        self._jitter = jitter
        self._lock = threading.Lock()
        self._outage: Outage | None = None
        self._heard = float("-inf")

    @property
    def state(self) -> State:
        """``closed``, ``open`` or ``half-open``."""
        with self._lock:
            if self._outage is None:
                return "closed"
            return "half-open" if self._outage.is_tried else "open"

    def admit(self) -> bool:
        """Return whether the caller has to try the host now, and to report what came of it.

        Raises ``NotYet`` from the latest failure while the host is to be left alone.
        """
        with self._lock:
            outage = self._outage
            if outage is None:
                return False
            if outage.is_tried or self._clock() < outage.next_try:
                raise self._refusal(outage) from outage.error
            outage.is_tried = True
            return True

    def refuse(self) -> None:
        """Raise ``NotYet`` from the latest failure unless the host is known to answer."""
        with self._lock:
            if self._outage is not None:
                raise self._refusal(self._outage) from self._outage.error

    def has_answered(self, since: float) -> bool:
        """Say whether the host answered anybody after the moment ``since``, by the clock."""
        with self._lock:
            return self._heard > since

    def answered(self) -> None:
        """The host lives: let everybody through."""
        with self._lock:
            outage, self._outage = self._outage, None
            self._heard = self._clock()
        if outage is not None:
            down = self._heard - outage.since
            _log.warning("vCenter %s answers again, after %.0f s", self._host, down)

    def failed(self, error: Exception, *, tried: bool = False) -> None:
        """The host is dead: let nobody through until the next try.

        ``tried`` is for who was told to try it. Others, whose calls began before the
        breaker opened, do not make the pause any longer.
        """
        with self._lock:
            if self._outage is not None and not tried:
                return
            outage = self._fail(error)
            pause = outage.next_try - outage.failed_at
        _log.warning(
            "vCenter %s is left alone for %.1f s: %s",
            self._host,
            pause,
            " ".join(str(error).split()) or type(error).__name__,
        )

    def reset(self) -> None:
        """Forget failures, so that the next call is let through."""
        with self._lock:
            self._outage = None

    def _fail(self, error: Exception) -> Outage:
        now = self._clock()
        outage = self._outage or Outage(error, since=now, failed_at=now)
        outage.error, outage.failed_at, outage.is_tried = error, now, False
        outage.failures += 1
        outage.next_try = now + _pause(outage.failures, self._jitter())
        self._outage = outage
        return outage

    def _refusal(self, outage: Outage) -> NotYet:
        now = self._clock()
        retry_in = 0.0 if outage.is_tried else max(0.0, outage.next_try - now)
        return NotYet(age=now - outage.failed_at, retry_in=retry_in, down=now - outage.since)


def _pause(failures: int, jitter: float) -> float:
    grown: float = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures - 1, 32))
    return grown * (1.0 - jitter / 2)
