"""Time, as a thing that can be handed in.

The cores never look at a clock: they are given ``now``, seconds on a monotonic scale
whose zero means nothing. Servers take it from :func:`monotonic`.
"""

from __future__ import annotations

import time
from collections.abc import Callable

#: A function that returns monotonic seconds.
Clock = Callable[[], float]

monotonic: Clock = time.monotonic
