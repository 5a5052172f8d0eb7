"""Lines of the log that strangers can cause: one in a while, and a count of the others."""

from __future__ import annotations

#: Seconds between two lines.
QUIET = 10.0


class Throttle:
    """Lets one line in ``QUIET`` seconds through."""

    def __init__(self) -> None:
        self._next_line = 0.0
        self._untold = 0

    def others(self, now: float) -> str | None:
        """Return what to add to a line that may be written now; ``None`` where it may not."""
        if now < self._next_line:
            self._untold += 1
            return None
        others = f" (and {self._untold} others since)" if self._untold else ""
        self._next_line, self._untold = now + QUIET, 0
        return others
