"""Loads a broker with hostile peers, and measures how an honest client fares meanwhile.

::

    python tests/faults/hostile_load.py
    python tests/faults/hostile_load.py idle --connections 10000 --rounds 5

Quiet and hostile phases take turns. Prints, for each kind of load, what an honest client
waited in both and what memory the broker took; ends with 1 where the 99th percentile more
than doubled (of empty frames: where each MiB took too much of the processor), or the memory
grew beyond what the documentation says.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from tests.support import loads  # noqa: E402
from tests.support.fabric import Fabric, eventually  # noqa: E402
from tests.support.honest import Honest, Process, quantile  # noqa: E402

MIB = 1 << 20
#: The 99th percentile may be so many times its quiet value.
WORSE = 2.0
#: Below this, in seconds, a wait is nobody's trouble: a quiet percentile may be tiny.
MOMENT = 0.002
#: Seconds of the processor for each MiB of empty frames.
BUSY_PER_MIB = 4.0
#: What libzmq holds for one client that reads nothing: replies, and bytes in the kernel.
PIPE_REPLIES = 100
#: Bytes that memory may grow by without a reason that has a name.
SLACK = 64 * MIB


class Phase(NamedTuple):
    """What was measured under one kind of load."""

    kind: str
    quiet: list[float]
    hostile: list[float]
    before: int
    peak: int
    after: int
    #: Seconds of the processor that the broker took in one hostile phase.
    busy: float

    @property
    def worse(self) -> float:
        """Return how many times the 99th percentile became what it was."""
        return max(MOMENT, quantile(self.hostile, 0.99)) / max(MOMENT, quantile(self.quiet, 0.99))

    @property
    def stall_per_mib(self) -> float:
        """Return the longest wait, for each MiB of one message of empty frames."""
        return max(self.hostile) * MIB / loads.EMPTY_BYTES

    @property
    def busy_per_mib(self) -> float:
        """Return the processor's seconds for each MiB of empty frames.

        That is what the stall would be on a machine that nobody else uses.
        """
        return self.busy * MIB / loads.EMPTY_BYTES


def allowed_growth(kind: str, count: int, unsent_peer_bytes: int) -> int:
    """Return by how many bytes ``count`` hostile peers may make the broker grow."""
    growth = {
        # Replies in libzmq's pipe, and those in the client's share of the outbox.
        "deaf": count * (PIPE_REPLIES * loads.DEAF_BYTES + unsent_peer_bytes),
        # All that was sent: only the system's own limit ends it.
        "endless": 2 * loads.ENDLESS_BYTES,
        # 64 bytes for each frame of two, and there may be one message more under way.
        "empty": 2 * loads.EMPTY_BYTES // 2 * 80,
        "idle": count * (48 << 10),
        "halves": count * (48 << 10),
    }
    return growth[kind] + SLACK


def measure(fabric: Fabric, kind: str, count: int, rounds: int, seconds: float) -> Phase:
    """Measure ``rounds`` times a quiet phase and a hostile one."""
    broker = Process(fabric.broker_pid)
    busy = 0.0
    quiet: list[float] = []
    hostile: list[float] = []
    with Honest(fabric.frontend) as honest:
        honest.measure(0.3)
        before = broker.now
        broker.reset()
        for _ in range(rounds):
            quiet += honest.measure(seconds)
            with loads.Load(kind, fabric.frontend, count):
                began = broker.busy
                hostile += honest.measure(seconds)
                busy += broker.busy - began
            _settle(fabric, honest)
        return Phase(kind, quiet, hostile, before, broker.peak, broker.now, busy / rounds)


def _settle(fabric: Fabric, honest: Honest) -> None:
    """Wait until what the load left behind is done."""

    def is_quiet() -> bool:
        usage = fabric.status()["usage"]
        return bool(usage["max_files"]["now"] < 100 and not usage["queue_bytes"]["now"])

    eventually(is_quiet, "the broker has let go of the load", every=0.1)
    honest.measure(0.2)
    time.sleep(0.2)


def lines(phase: Phase, count: int) -> list[str]:
    """Return what was measured, for reading."""
    told = [f"{phase.kind} ({count}):"]
    for name, waits in (("quiet", phase.quiet), ("hostile", phase.hostile)):
        p50, p99 = (1000 * quantile(waits, share) for share in (0.5, 0.99))
        told.append(
            f"  {name:8} p50 {p50:7.2f} ms  p99 {p99:7.2f} ms  max {1000 * max(waits):7.1f} ms"
            f"  ({len(waits)} requests)"
        )
    before, peak, after = (size / MIB for size in (phase.before, phase.peak, phase.after))
    told.append(f"  p99 ratio {phase.worse:.2f}")
    told.append(f"  memory: before {before:.0f} MiB, peak {peak:.0f} MiB, after {after:.0f} MiB")
    if phase.kind == "empty":
        told.append(
            f"  stall: {1000 * phase.stall_per_mib:.0f} ms for each MiB of empty frames, "
            f"{1000 * phase.busy_per_mib:.0f} ms of the processor"
        )
    return told


def breaches(phase: Phase, allowed: int, worse: float = WORSE) -> list[str]:
    """Return which promises were not kept."""
    broken = []
    if phase.kind == "empty":
        if phase.busy_per_mib > BUSY_PER_MIB:
            broken.append(f"empty: {phase.busy_per_mib:.2f} s of the processor for each MiB")
    elif phase.worse > worse:
        broken.append(f"{phase.kind}: the 99th percentile is {phase.worse:.1f} times the quiet one")
    if phase.peak - phase.before > allowed:
        grown = (phase.peak - phase.before) / MIB
        broken.append(f"{phase.kind}: {grown:.0f} MiB more, {allowed / MIB:.0f} are documented")
    return broken


def counts(options: argparse.Namespace) -> dict[str, int]:
    """Return how many peers make each kind of load."""
    return {
        "deaf": 1,
        "endless": 1,
        "empty": 1,
        "idle": options.connections,
        "halves": options.halves,
    }


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("kinds", nargs="*", help=f"of {', '.join(loads.LOADS)} (all)")
    add("--rounds", type=int, default=3, help="quiet and hostile phases of each (3)")
    add("--seconds", type=float, default=5.0, help="seconds of each phase (5)")
    add("--connections", type=int, default=10_000, help="idle connections (10000)")
    add("--halves", type=int, default=500, help="open handshakes at a time (500)")
    add("--worse", type=float, default=WORSE, help="allowed ratio of the percentiles (2)")
    options = parser.parse_args(words)
    unknown = set(options.kinds) - set(loads.LOADS)
    if unknown:
        parser.error(f"no such load: {', '.join(sorted(unknown))}")
    return options


def main() -> int:
    """Run what the command line says."""
    options = arguments()
    broken: list[str] = []
    for kind in options.kinds or loads.LOADS:
        count = counts(options)[kind]
        with Fabric() as fabric:
            fabric.start_worker(agents="system", threads=2)
            limits = fabric.status()["limits"]
            phase = measure(fabric, kind, count, options.rounds, options.seconds)
            allowed = allowed_growth(kind, count, limits["unsent_peer_bytes"])
        print("\n".join(lines(phase, count)), flush=True)
        broken += breaches(phase, allowed, options.worse)
    for line in broken:
        print(f"BROKEN: {line}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
