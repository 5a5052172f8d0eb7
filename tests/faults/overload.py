"""Asks ten times of what the workers can do, and looks at what is refused and how.

::

    python tests/faults/overload.py
    python tests/faults/overload.py --times 20 --seconds 30

Measures what is done at capacity, then under the overload. Ends with 1 where a request gets
no answer, is refused otherwise than by ``busy`` with ``retry_after_ms``, or where those that
are accepted wait longer than at capacity.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.support.fabric import Fabric  # noqa: E402
from tests.support.flood import Flood, Outcome  # noqa: E402

#: Seconds of one task, tasks at once, and tasks that may wait.
TASK = 0.02
SLOTS = 4
QUEUE = 40
#: Accepted requests may take so many times as long as at capacity.
WORSE = 2.0


def measure(times: float, seconds: float) -> tuple[Outcome, Outcome]:
    """Return what became of requests at capacity, and at ``times`` as many."""
    with Fabric({"queue_length": QUEUE}) as fabric:
        fabric.start_worker(agents="probe", threads=SLOTS)
        flood = Flood(fabric.frontend, "probe.quick", seconds=TASK)
        flood.at_capacity(SLOTS, 0.5)
        capacity = flood.at_capacity(SLOTS + QUEUE, seconds)
        return capacity, flood.at_rate(times * capacity.rate, seconds)


def breaches(capacity: Outcome, overload: Outcome, worse: float = WORSE) -> list[str]:
    """Return which promises were not kept."""
    broken = []
    silent = capacity.unanswered + overload.unanswered
    if silent:
        broken.append(f"{silent} requests got no answer")
    wrong = [error for error in overload.refused if not _is_busy(error)]
    if wrong:
        broken.append(f"{len(wrong)} requests were refused otherwise: {wrong[0]}")
    if not overload.refused:
        broken.append("nothing was refused: this was no overload")
    limit = worse * capacity.quantile(0.99)
    if overload.quantile(0.99) > limit:
        broken.append(
            f"accepted requests take {overload.quantile(0.99):.3f} s, {limit:.3f} allowed"
        )
    return broken


def _is_busy(error: dict[str, object]) -> bool:
    wait = error.get("retry_after_ms")
    return error["code"] == "busy" and isinstance(wait, int) and wait > 0


def line(name: str, outcome: Outcome) -> str:
    """Return what was measured, for reading."""
    p50, p99 = (1000 * outcome.quantile(share) for share in (0.5, 0.99))
    codes = dict(Counter(str(error["code"]) for error in outcome.refused))
    waits = sorted({int(str(error.get("retry_after_ms", 0))) for error in outcome.refused})
    asked = f", retry_after_ms {waits[0]} to {waits[-1]}" if waits else ""
    return (
        f"{name:9} sent {outcome.sent} in {outcome.seconds:g} s, accepted "
        f"{len(outcome.accepted)} ({outcome.rate:.0f}/s), p50 {p50:.0f} ms, p99 {p99:.0f} ms; "
        f"refused {codes or 'none'}{asked}; unanswered {outcome.unanswered}"
    )


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--times", type=float, default=10.0, help="how many times the capacity (10)")
    add("--seconds", type=float, default=10.0, help="seconds of each phase (10)")
    add("--worse", type=float, default=WORSE, help="allowed ratio of the percentiles (2)")
    return parser.parse_args(words)


def main() -> int:
    """Run what the command line says."""
    options = arguments()
    capacity, overload = measure(options.times, options.seconds)
    print(line("capacity", capacity))
    print(line("overload", overload))
    broken = breaches(capacity, overload, options.worse)
    for promise in broken:
        print(f"BROKEN: {promise}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
