"""The process's own watchdog: the kernel ends it when its loop stands still.

The supervisor does so too, but only while there is one; and a thread that never lets go
of the interpreter's lock keeps the loop from seeing that there is none any more.
"""

from __future__ import annotations

import signal

from vpoller_like.clock import Clock, monotonic

#: How much longer than the supervisor, which can say why, the kernel waits.
LENIENCY = 4 / 3
#: Seconds that ending takes, beyond the time to drain: for the last acknowledgements, and
#: for the agents to give back what they hold.
LAST_SECONDS = 10.0


class Guard:
    """An alarm that :meth:`beat` puts off; its signal's default action ends the process.

    ``stuck`` is after how many seconds without a beat the supervisor kills this process.
    Times are seconds. Must be made in the main thread.
    """

    def __init__(self, stuck: float, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._patience = stuck * LENIENCY
        self._end_at: float | None = None
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    def allow(self, seconds: float) -> None:
        """Something begins that may take ``seconds`` without a beat."""
        self._set(seconds)

    def beat(self, age: float = 0.0) -> None:
        """All loops run, or did so ``age`` seconds ago."""
        self._set(self._patience - age)

    def expect_end(self, drain_seconds: float) -> None:
        """The process is to end once it has drained, whatever happens."""
        self._end_at = self._clock() + drain_seconds + LAST_SECONDS
        self._set(self._patience)

    def _set(self, seconds: float) -> None:
        if self._end_at is not None:
            seconds = min(seconds, self._end_at - self._clock())
        # Zero would switch the alarm off.
        signal.setitimer(signal.ITIMER_REAL, max(0.001, seconds))
