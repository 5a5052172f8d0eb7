"""A hundred thousand hostile connections to a broker, while an honest client is served.

Raw TCP, by hand: broken greetings, other versions and mechanisms, metadata and lengths that
lie, commands where none belong, unfinished messages, and valid ZMTP with spoiled requests and
worker messages in it. The broker must live, answer the honest client rightly, give back its
descriptors and keep its memory. ``make faults`` runs it.

``--taken-ids`` adds what libzmq 4.3.5 keeps memory for and never frees, and ``--pings`` shows
what it does not survive: see docs/security.rst.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.fabric import Fabric, NotInTime, eventually
from tests.support.fuzzing import resident_bytes
from tests.support.hostile import ATTACKS, Attackers, Honest, chosen_ids, flood_with_pings
from tests.support.req import Req

#: By how much the broker's memory may grow after the first fifth, and bytes beside it.
GROWTH = 1.10
SLACK = 24 << 20
SETTINGS = {"remember_ms": 2000, "route_memory_ms": 2000, "drain_ms": 500}


def main() -> int:
    """Run, and return the exit code."""
    options = _options()
    print(f"seed {options.seed}, {options.connections} connections", flush=True)
    if options.pings:
        return _pings(options)
    with Fabric(SETTINGS) as fabric:
        fabric.start_worker(processes=1, threads=2, agents="system")
        faults = _attacked(fabric, options)
    for fault in faults:
        print(f"FAULT: {fault}")
    print("failed" if faults else "passed")
    if faults:
        print(f"replay: hostile_wire.py --seed {options.seed} --connections {options.connections}")
    return int(bool(faults))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--connections", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=86_400.0, help="stop after so long")
    parser.add_argument(
        "--taken-ids", action="store_true", help="with routing ids that libzmq leaks memory for"
    )
    parser.add_argument("--pings", action="store_true", help="show libzmq's abort, and end")
    return parser.parse_args()


def _attacked(fabric: Fabric, options: argparse.Namespace) -> list[str]:
    doors = {name: getattr(fabric, name) for name in ("frontend", "backend", "plain", "admin")}
    attacks = [a for a in ATTACKS if options.taken_ids or a is not chosen_ids]
    attackers = Attackers(doors, options.connections, options.seed, options.threads, attacks)
    with Req(fabric.frontend) as req:

        def ask(request: dict[str, object]) -> dict[str, object]:
            req.send(request)
            return req.receive()

        honest = Honest(ask)
        honest.start()
        time.sleep(2.5)
        quiet, descriptors = list(honest.seconds), _descriptors(fabric.broker_pid)
        began = time.monotonic()
        attackers.start()
        settled, peak = _watch(fabric, attackers, began + options.seconds)
        attackers.stop()
        took = time.monotonic() - began
        busy = honest.seconds[len(quiet) :]
        honest.end()
    faults = _found(fabric, honest, attackers, descriptors, settled)
    print(f"{attackers.done} connections in {took:.1f} s, {attackers.done / took:.0f}/s,")
    print(f"  {attackers.admitted} could send messages, {attackers.refused} could not be made:")
    print(f"  {dict(sorted(attackers.made.items()))}")
    print(f"honest client: {honest.right} right, {len(honest.wrong)} wrong;")
    print(f"  p50/p99 quiet {_quantiles(quiet)} ms, attacked {_quantiles(busy)} ms")
    end = resident_bytes(fabric.broker_pid) if fabric.broker.exit_code is None else 0
    print(f"broker's memory: {settled >> 20} MiB after a fifth, {peak >> 20} most, {end >> 20} now")
    with contextlib.suppress(NotInTime, AssertionError):
        print(f"broker's counters: {fabric.status()['counters']}")
    return faults


def _watch(fabric: Fabric, attackers: Attackers, until: float) -> tuple[int, int]:
    """Wait for the attackers; return the memory after the first fifth, and the most."""
    total = attackers._connections
    settled = peak = 0
    while attackers.busy and fabric.broker.exit_code is None and time.monotonic() < until:
        time.sleep(0.2)
        with contextlib.suppress(OSError):
            peak = max(peak, resident_bytes(fabric.broker_pid))
        if attackers.done <= total // 5:
            settled = peak
    return settled or peak, peak


def _found(
    fabric: Fabric, honest: Honest, attackers: Attackers, descriptors: int, settled: int
) -> list[str]:
    if fabric.broker.exit_code is not None:
        return [f"the broker ended with {fabric.broker.exit_code}:\n{fabric.logs()[-4000:]}"]
    faults = [f"a wrong reply: {wrong}" for wrong in honest.wrong[:3]]
    if attackers.made.total() < attackers.begun:
        faults.append("some attackers fell over themselves: see above")
    if not honest.right:
        faults.append("the honest client got nothing")
    try:
        eventually(
            lambda: _descriptors(fabric.broker_pid) <= descriptors + 3,
            "descriptors come back: what was sent by those who have gone is read at leisure",
            timeout=120.0,
        )
    except NotInTime:
        open_now = _descriptors(fabric.broker_pid)
        faults.append(f"{open_now} descriptors are open, {descriptors} were before")
    end = resident_bytes(fabric.broker_pid)
    if end > settled * GROWTH + SLACK:
        faults.append(f"memory grew from {settled >> 20} to {end >> 20} MiB")
    return faults


def _descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def _quantiles(seconds: list[float]) -> str:
    if len(seconds) < 2:
        return "-"
    cuts = statistics.quantiles(seconds, n=100)
    return f"{cuts[49] * 1000:.1f}/{cuts[98] * 1000:.1f}"


def _pings(options: argparse.Namespace) -> int:
    """Flood with messages and ZMTP heartbeats, and reset: count until the broker aborts."""
    rng = random.Random(options.seed)
    with contextlib.suppress(AssertionError), Fabric() as fabric:
        for number in range(1, min(options.connections, 1000) + 1):
            flood_with_pings(fabric.frontend, rng)
            time.sleep(0.01)
            if fabric.broker.exit_code is not None:
                print(f"the broker ended with {fabric.broker.exit_code} after {number} connections")
                return 1
        print("the broker survived")
    return 0


if __name__ == "__main__":
    sys.exit(main())
