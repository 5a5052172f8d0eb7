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
        self.is_on = False
        #: Somebody has waited for a worker since the last tick.
        self.is_stirred = False
        #: Since the last tick, all that workers have said has been read. If not, they are to
        #: be heard now, and nobody else waited for.
        self.has_heard = False

    def stir(self) -> None:
        """Somebody waits for a worker."""
        self.is_on, self.is_stirred = False, True

    def ticked(self) -> float:
        """A tick is due; return in how many seconds the next one is."""
        self.is_on, self.is_stirred = not self.is_stirred, False
        self.has_heard = False
        return QUIET_TICK if self.is_on else TICK
