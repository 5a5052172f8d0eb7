"""How long methods take."""

from __future__ import annotations

from vpoller_like.worker.compiled import compiled
from vpoller_like.worker.figures import BRIEF_SECONDS, MEMORY_SECONDS, SHORTEST


@compiled
class Pace:
    """A moving average of the run times of each method, in seconds."""

    def __init__(self) -> None:
        self._average: dict[str, float] = {}
        #: When each was seen last; those that count no longer need not be there.
        self._seen: dict[str, float] = {}

    def note(self, method: str, seconds: float, now: float) -> None:
        """A run of ``method`` took ``seconds``."""
        if seconds < SHORTEST:
            seconds = SHORTEST
        average = self._average.get(method, seconds)
        self._average[method] = average + (seconds - average) / 8
        self._seen[method] = now

    def is_brief(self, method: str) -> bool:
        """Say whether a run of ``method`` is shorter than what a switch of threads is worth.

        One that was never seen is not taken for brief.
        """
        return self._average.get(method, BRIEF_SECONDS + 1) <= BRIEF_SECONDS

    def slowest(self, now: float) -> float | None:
        """Return the longest average of the methods seen lately; ``None`` if none was."""
        horizon = now - MEMORY_SECONDS
        longest, old = 0.0, []
        for method, at in self._seen.items():
            if at < horizon:
                old.append(method)
            elif self._average[method] > longest:
                longest = self._average[method]
        # So that a worker with many methods looks at those in use alone.
        for method in old:
            del self._seen[method]
        return longest or None
