"""Delays between tries, as pure arithmetic."""

from __future__ import annotations

from collections.abc import Callable


def exponential(
    attempt: int, *, base: float, limit: float, jitter: Callable[[], float] | None = None
) -> float:
    """Return how many seconds to wait after failed try number ``attempt`` (from 1).

    The delay doubles from ``base`` up to ``limit``. ``jitter`` returns a number in
    [0, 1); with it the delay is spread evenly over its upper half, so that clients
    that failed together do not come back together.
    """
    delay = min(limit, base * 2.0 ** min(attempt - 1, 62))
    return delay if jitter is None else delay * (0.5 + 0.5 * jitter())
