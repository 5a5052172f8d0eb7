"""Time, as a thing that can be handed in.

The cores never look at a clock: they are given ``now``, seconds on a monotonic scale
whose zero means nothing. Servers take it from :func:`monotonic`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

#: A function that returns monotonic seconds.
Clock = Callable[[], float]

monotonic: Clock = time.monotonic

#: Seconds; who waits for longer looks again meanwhile.
_LONGEST = 86_400.0


def poll_milliseconds(seconds: float) -> int:
    """Return what a poll() is told that is to wait for so long: not less, and a day at most."""
    return max(0, math.ceil(min(seconds, _LONGEST) * 1000))
