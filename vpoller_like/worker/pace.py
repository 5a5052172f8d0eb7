"""How long methods take."""

from __future__ import annotations

#: Seconds for which a method counts after its last run.
MEMORY_SECONDS = 1.0

#: A run shorter than this counts as this long, in seconds.
SHORTEST = 1e-6


class Pace:
    """A moving average of the run times of each method, in seconds."""

    def __init__(self) -> None:
        self._average: dict[str, float] = {}
        self._seen: dict[str, float] = {}

    def note(self, method: str, seconds: float, now: float) -> None:
        """A run of ``method`` took ``seconds``."""
        seconds = max(SHORTEST, seconds)
        average = self._average.get(method, seconds)
        self._average[method] = average + (seconds - average) / 8
        self._seen[method] = now

    def slowest(self, now: float) -> float | None:
        """Return the longest average of the methods seen lately; ``None`` if none was."""
        horizon = now - MEMORY_SECONDS
        recent = [self._average[method] for method, at in self._seen.items() if at >= horizon]
        return max(recent, default=None)
