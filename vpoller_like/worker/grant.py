"""How much a broker may give to this worker now."""

from __future__ import annotations

from functools import lru_cache

import msgspec

from vpoller_like.worker.compiled import compiled
from vpoller_like.worker.figures import AHEAD_SECONDS, MAX_AHEAD
from vpoller_like.worker.pace import Pace
from vpoller_like.worker.runs import Runs


@compiled
class Grant(msgspec.Struct, frozen=True, gc=False):
    """``slots`` tasks run at once; ``ahead`` more quick ones may wait."""

    slots: int
    ahead: int


NOTHING = Grant(0, 0)
#: Most are equal to the one before: the same one is found sooner than a new one is made.
_grant = lru_cache(maxsize=128)(Grant)


@compiled
def is_news(told: Grant, current: Grant) -> bool:
    """Say whether a broker that was ``told`` one grant should hear of another at once.

    How many quick tasks may wait changes all the time, and goes with the results.
    """
    if told is current:
        return False
    return told.slots != current.slots or bool(told.ahead) != bool(current.ahead)


@compiled
def grant_to(link: int, threads: int, runs: Runs, pace: Pace, now: float) -> Grant:
    """Return what the broker behind ``link`` may give.

    What a broker waits for itself it counts itself: only what others wait for takes
    away from its slots, and only once that is slow, for quick tasks are over before
    anybody has heard of them.
    """
    slow = runs.slow() if runs.running else ()
    slots = threads - len(runs.stuck)
    if slow:
        slots -= sum(1 for run in slow if run.debt_to(link) is None)
    longest = pace.slowest(now)
    if slow or longest is None or slots <= 0:
        return _grant(max(0, slots), 0)
    return _grant(slots, min(MAX_AHEAD, slots * int(AHEAD_SECONDS / longest)))
