"""Run many seeds of the simulation, or one of them with all that happens in it.

``python tests/simulation/run.py --seeds 5000`` runs seeds 0 to 4999 and prints what they saw;
``--seconds`` ends it when so much time has passed; ``--seed 17 --trace`` shows one seed. The
exit code is 1 where a promise was broken, or where the dice never brought about what the
simulation is there for.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.simulation.scenario import play  # noqa: E402
from tests.simulation.sim_report import Batch, play_or_say  # noqa: E402

#: Seeds that one process takes at a time.
CHUNK = 10


def main() -> int:
    """Return the exit code."""
    arguments = _arguments()
    logging.disable(logging.CRITICAL)
    if arguments.seed is not None:
        return _one(arguments.seed, arguments.trace)
    if arguments.courses:
        seeds = range(arguments.first, arguments.first + arguments.seeds)
        return max(_one(seed, trace=False) for seed in seeds)
    batch = Batch()
    until = time.monotonic() + arguments.seconds
    with ProcessPoolExecutor(arguments.jobs, initializer=_quieten) as pool:
        for outcomes in _in_turn(pool, arguments.first, arguments.seeds, arguments.jobs, until):
            for outcome in outcomes:
                batch.add(outcome)
    for line in batch.lines():
        print(line)
    return 1 if batch.failed or batch.missing else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=1000, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first one")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so long")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--courses", action="store_true", help="show which course each one took")
    parser.add_argument("--trace", action="store_true", help="show what happens in it")
    return parser.parse_args()


def _one(seed: int, trace: bool) -> int:
    outcome = play(seed, print if trace else None)
    print(f"seed {seed}: {outcome.message or 'all promises kept'}; course {outcome.digest}")
    return 1 if outcome.violated else 0


def _in_turn(
    pool: ProcessPoolExecutor, first: int, count: int, jobs: int, until: float
) -> Iterator[list]:
    """Yield chunks of outcomes, while there is time."""
    chunks = (range(a, min(a + CHUNK, first + count)) for a in range(first, first + count, CHUNK))
    running = [pool.submit(_chunk, chunk) for chunk in itertools.islice(chunks, 2 * jobs)]
    while running:
        yield running.pop(0).result()
        chunk = next(chunks, None) if time.monotonic() < until else None
        if chunk is not None:
            running.append(pool.submit(_chunk, chunk))


def _chunk(seeds: range) -> list:
    return [play_or_say(seed) for seed in seeds]


def _quieten() -> None:
    logging.disable(logging.CRITICAL)


if __name__ == "__main__":
    raise SystemExit(main())
