"""Times in which nobody asks, and workers show no more than that they live."""

from __future__ import annotations

#: Seconds between two ticks of the core, and the same in a lull.
TICK = 0.05
QUIET_TICK = 0.1


class Lull:
    """A lull begins with a tick before which nobody has waited for anything since the last one.

    In a lull workers are heard once a tick: a hundred heartbeats a second would each wake the
    broker, at 100 us. It ends as soon as somebody waits for what a worker may say.
    """

    def __init__(self) -> None:
        self._is_on = False
        self._stirred = False
        #: Since the last tick, all that workers have said has been read.
        self._heard = False

    def look(self, idle: bool) -> None:
        """``idle`` says that nobody waits for a worker now."""
        if not idle:
            self._is_on, self._stirred = False, True

    def ticked(self) -> float:
        """A tick is due; return in how many seconds the next one is."""
        self._is_on, self._stirred = not self._stirred, False
        self._heard = False
        return QUIET_TICK if self._is_on else TICK

    @property
    def wants_workers(self) -> bool:
        """Whether workers are to be heard now, and nobody else waited for."""
        return self._is_on and not self._heard

    @property
    def leaves_workers(self) -> bool:
        """Whether workers need not be heard until the next tick."""
        return self._is_on and self._heard

    def heard(self, everything: bool) -> None:
        """Workers have been heard; ``everything`` that they had said by now."""
        self._heard = everything
