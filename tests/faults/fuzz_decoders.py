"""Millions of spoiled messages for everything that reads bytes from elsewhere.

Each must be taken or refused as declared, in bounded time and in memory that does not grow.
``make faults`` runs it; ``--seed`` and ``--block`` replay what failed.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import random
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tests.support.decoders import GIANTS, TARGETS
from tests.support.fuzzing import BLOCK, Figures, blocks, fault_of, fuzz, resident_bytes

#: Seconds: longer than any input that is drawn may take, on a machine that is busy as well.
PATIENCE = 2.0
#: Seconds for one of the largest inputs there can be.
GIANT_PATIENCE = 20.0
#: By how much memory may grow after the first fifth.
GROWTH = 1.10
SLACK = 16 << 20


def main() -> int:
    """Run, and return the exit code."""
    options = _options()
    logging.disable(logging.CRITICAL)
    if options.block is not None:
        work = blocks(options.block, options.block + 1, 1, _targets(options))
        return _report(fuzz(options.seed, work, 1), options.seed)
    print(f"seed {options.seed}, {options.inputs} inputs in {options.jobs} processes", flush=True)
    failed = _feed_giants()
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        jobs = [(options, job) for job in range(options.jobs)]
        for job, figures in enumerate(pool.starmap(_job, jobs, chunksize=1)):
            print(f"process {job}:")
            failed |= _report(figures, options.seed)
    print("failed" if failed else "passed")
    return failed


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=10_000_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--seconds", type=float, default=86_400.0, help="stop after so long")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--target", choices=[*TARGETS, "all"], default="all")
    parser.add_argument("--block", type=int, help="replay this block alone")
    return parser.parse_args()


def _targets(options: argparse.Namespace) -> list[str]:
    return list(TARGETS) if options.target == "all" else [options.target]


def _job(options: argparse.Namespace, job: int) -> Figures:
    logging.disable(logging.CRITICAL)
    count = -(-options.inputs // BLOCK)
    end = time.monotonic() + options.seconds
    work = blocks(job, count, options.jobs, _targets(options))
    return fuzz(options.seed, work, count // options.jobs, lambda: time.monotonic() < end)


def _feed_giants() -> int:
    failed = 0
    for name, (kind, make) in GIANTS.items():
        target, frames = kind(), make()
        start = time.perf_counter()
        fault = fault_of(target, frames)
        took = time.perf_counter() - start
        size = sum(map(len, frames)) / (1 << 20)
        print(f"  {name} ({kind.name}, {size:.1f} MiB): {took:.3f} s, {took / size:.3f} s/MiB")
        if fault or took > GIANT_PATIENCE:
            failed = 1
            print(f"FAULT: {name}: {fault or 'it took too long'}")
    print(f"  memory after them: {resident_bytes() >> 20} MiB", flush=True)
    return failed


def _report(figures: Figures, seed: int | None = None) -> int:
    """Print the figures; return 1 where a promise was broken."""
    faults = list(figures.faults)
    for name, count in sorted(figures.inputs.items()):
        print(f"  {name}: {count}")
    rate = figures.total / max(figures.seconds, 1e-9)
    print(f"  {figures.total} inputs in {figures.seconds:.1f} s, {rate:.0f}/s")
    for took, name, block, index, size in sorted(figures.slowest, reverse=True):
        print(f"  slowest: {took * 1000:.1f} ms, {size} bytes, {name}, block {block}, {index}")
    settled, end = figures.memory
    print(f"  memory: {settled >> 20} MiB after a fifth, {end >> 20} MiB at the end")
    if max(figures.slowest, default=(0.0,))[0] > PATIENCE:
        faults.append(f"an input took more than {PATIENCE} s")
    if end > settled * GROWTH + SLACK:
        faults.append("memory grows")
    for fault in faults:
        print(f"FAULT: {fault}\n  replay: fuzz_decoders.py --seed {seed} --block <its block>")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
