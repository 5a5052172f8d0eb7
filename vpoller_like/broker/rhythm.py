"""How often workers and the broker show each other that they live."""

from __future__ import annotations

from vpoller_like.config import BrokerSettings

#: Heartbeats of all workers together, each second. One costs 100 us where nothing else happens.
MAX_BEATS = 64
#: Milliseconds that WELCOME can say at most.
_LONGEST = 3_600_000


class Rhythm:
    """The settings' intervals, or a power of two times as long where there are many workers.

    A thousand workers with a heartbeat each second take a broker that does nothing else 5 % of a
    core. Heartbeats find those that stand still; whose connection closes is found at once.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        self._settings = settings
        self._stretch = 1

    def fit(self, workers: int) -> bool:
        """Take in how many workers there are; say whether the intervals have changed."""
        beats = workers * 1000 / self._settings.heartbeat_ms / MAX_BEATS
        before = self._stretch
        while self._stretch < beats:
            self._stretch *= 2
        # Not at once: a worker that comes and goes is not to change it each time.
        while self._stretch > 1 and beats < self._stretch / 4:
            self._stretch //= 2
        return self._stretch != before

    @property
    def heartbeat_ms(self) -> int:
        """Milliseconds between two heartbeats."""
        return min(_LONGEST, self._settings.heartbeat_ms * self._stretch)

    @property
    def liveness_ms(self) -> int:
        """Milliseconds of silence after which either side gives the other up."""
        return min(_LONGEST, self._settings.liveness_ms * self._stretch)
