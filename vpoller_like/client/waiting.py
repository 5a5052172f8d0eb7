"""Waiting for descriptors, in a program that has nothing else to do."""

from __future__ import annotations

import math
import select
from collections.abc import Iterable

#: Seconds; who waits for longer looks again meanwhile.
_LONGEST = 86_400.0


def wait(filenos: Iterable[int], seconds: float) -> None:
    """Return when one of ``filenos`` is readable or closed, or after so many ``seconds``."""
    poll = select.poll()
    for fileno in filenos:
        poll.register(fileno, select.POLLIN)
    poll.poll(math.ceil(min(seconds, _LONGEST) * 1000))
