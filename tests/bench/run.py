"""Our broker beside ``zmq.proxy``, a direct connection and the original vPoller.

::

    python tests/bench/run.py
    python tests/bench/run.py --only "python DEALER 64 bare; REQ 1" --rounds 3 --seconds 0.3
    python tests/bench/run.py --output docs/performance

All ways are up for the whole run and take turns within each round; a ratio is the median of
the rounds' ratios to ``zmq.proxy``. CPU is the scheduler's account of all threads, per
request. Every answer is checked; one that is wrong or missing ends the run with 1.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from tests.bench import original, plot, report, targets, ways  # noqa: E402
from tests.bench.compiling import NoCompiler, Programs, programs  # noqa: E402
from tests.bench.machine import facts  # noqa: E402
from tests.bench.measuring import Failed, measure  # noqa: E402
from tests.bench.results import Results  # noqa: E402
from tests.bench.rows import ONE_REQ, SMALL, Row, Workers, chosen  # noqa: E402
from tests.bench.ways import DIRECT, OURS, USUAL, Way  # noqa: E402

Opening = Callable[[], AbstractContextManager[Way]]


def main() -> int:
    """Run the suite; return the exit code."""
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    built = _programs()
    rows = [row for row in chosen(options.only) if built or row.workers == "python"]
    if not rows:
        print(f"No row has all the words of {options.only!r}.", file=sys.stderr)
        return 2
    if options.transport != "pure" and "c" not in ways.transports("c"):
        print("The transport in C is not built here; it is left out.", file=sys.stderr)
    load = built.load if built and options.load == "c" else None
    try:
        results = _measured(rows, built, load, options)
    except Failed as error:
        print(f"The run has failed: {error}", file=sys.stderr)
        return 1
    verdicts = targets.verdicts(results)
    report.show(results, verdicts)
    if options.output:
        _write(results, verdicts, options.output)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.4, help="for each measurement")
    parser.add_argument(
        "--only", default="", metavar="ROWS", help="words that rows have, as in 'c REQ 64; batch'"
    )
    parser.add_argument("--transport", choices=("c", "pure", "both"), default="both")
    parser.add_argument("--load", choices=("c", "python"), default="c", help="who asks")
    parser.add_argument("--no-original", action="store_true", help="leave vPoller 0.7.3 out")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write tables and a picture")
    return parser.parse_args()


def _programs() -> Programs | None:
    try:
        return programs()
    except NoCompiler as error:
        print(f"{error}. The load is in Python, and there are no rows with C.", file=sys.stderr)
        return None


def _measured(
    rows: Sequence[Row], built: Programs | None, load: Path | None, options: argparse.Namespace
) -> Results:
    results = Results()
    with ExitStack() as stack:
        everything = [
            stack.enter_context(opening())
            for workers in sorted({row.workers for row in rows})
            for opening in _openings(workers, built, options)
        ]
        # Kept until all is down: what leaves here otherwise is shown with the fabrics' logs.
        failure = _rounds(rows, everything, load, options, results)
    if failure:
        raise failure
    return results


def _rounds(
    rows: Sequence[Row],
    everything: Sequence[Way],
    load: Path | None,
    options: argparse.Namespace,
    results: Results,
) -> Failed | None:
    for number in range(options.rounds):
        _progress(f"round {number + 1} of {options.rounds}")
        # Whoever comes first or last in a row may have it better: they take turns in that.
        in_turn = everything if number % 2 == 0 else everything[::-1]
        try:
            _round(rows, in_turn, load, options.seconds, results)
        except Failed as error:
            return error
    return None


def _openings(
    workers: Workers, built: Programs | None, options: argparse.Namespace
) -> Iterator[Opening]:
    yield partial(ways.proxied, workers, built)
    if workers == "python":
        yield partial(ways.proxied, workers, built, USUAL)
    yield partial(ways.direct, workers, built)
    for transport, env in ways.transports(options.transport).items():
        yield partial(ways.ours, OURS[transport], workers, built, env)
    if options.no_original:
        return
    try:
        original.installed()
        yield partial(original.original, workers, built)
    except original.NotInstalled as error:
        print(f"{error}. It is left out.", file=sys.stderr)


def _round(
    rows: Sequence[Row],
    everything: Sequence[Way],
    load: Path | None,
    seconds: float,
    results: Results,
) -> None:
    for row in rows:
        for way in everything:
            if _belongs(row, way):
                _take(row, way, load, seconds, results)


def _belongs(row: Row, way: Way) -> bool:
    if row.workers != way.workers:
        return False
    if way.name == DIRECT:
        return row.load == ONE_REQ
    return way.name != original.NAME or _original_can(row)


def _original_can(row: Row) -> bool:
    """Say whether the original is asked for ``row``: it knows neither ``meta`` nor batches."""
    load = row.load
    return row.payload == SMALL and not row.meta and load.batch == 1 and load.kind != "map"


def _take(row: Row, way: Way, load: Path | None, seconds: float, results: Results) -> None:
    if results.lost(row, way.name):
        return
    try:
        results.add(row, way.name, measure(load, way, row, seconds))
    except Failed:
        if not way.may_lose:
            raise
        results.add(row, way.name, None)


def _progress(text: str) -> None:
    if sys.stderr.isatty():
        print(text, file=sys.stderr)


def _write(results: Results, verdicts: Sequence[targets.Verdict], place: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    where = facts()
    report.write_csv(results, place / "results.csv")
    report.write_rst(results, verdicts, where, place / "results.rst")
    try:
        plot.draw(results, where, place / "results.png")
    except plot.NoMatplotlib as error:
        print(f"No picture is drawn: {error}.", file=sys.stderr)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
