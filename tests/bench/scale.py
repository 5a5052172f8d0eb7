"""Five thousand clients, a thousand workers, a hundred thousand waiting requests.

::

    python tests/bench/scale.py
    python tests/bench/scale.py --only "cost hosts" --rounds 3
    python tests/bench/scale.py --output docs/performance

Connections are real ones, to processes of their own; memory is what is resident, CPU the
scheduler's account. Beside ours stands ``zmq.proxy``, with as many connections. The cost of a
request is measured with fewer requests under way than there are workers, so that each is a
message of its own at both ends, at brokers that are all up and take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from tests.bench import scale_plot  # noqa: E402
from tests.bench.crowds import raise_file_limit  # noqa: E402
from tests.bench.machine import facts  # noqa: E402
from tests.bench.plot import NoMatplotlib  # noqa: E402
from tests.bench.scaling import (  # noqa: E402
    CLIENTS,
    QUEUED,
    SERIES,
    WORKERS,
    Connections,
    Series,
    Waiting,
    connections,
    series,
    waiting,
    waiting_at_proxy,
)

#: What is wanted: a multiple of ``zmq.proxy``'s memory, a share of a core, bytes, a multiple.
MEMORY, IDLE, BESIDE, GROWTH = 1.10, 0.01, 1536.0, 1.20
#: Files beside the connections: the broker's own, and what is open here.
SPARE = 200


class Verdict(NamedTuple):
    """What was wanted and what was found, in words; and whether it is good enough."""

    what: str
    wanted: str
    found: str
    is_met: bool


class Findings(NamedTuple):
    """All that was measured, as far as it was asked for."""

    connections: Sequence[Connections] = ()
    waiting: Sequence[Waiting] = ()
    series: Sequence[Series] = ()

    def verdicts(self) -> Iterator[Verdict]:
        """Yield what has become of each target."""
        if self.connections:
            yield from _about_connections(*self.connections)
        for found in self.waiting:
            if found.name.startswith("ours"):
                yield _verdict(f"a waiting request, {found.name}", BESIDE, found.beside, " B")
        for grown in self.series:
            yield _verdict(f"cost of a request, {grown.name}", GROWTH, grown.growth, " x")


def _about_connections(theirs: Connections, ours: Connections) -> Iterator[Verdict]:
    for what in ("client", "worker", "connection"):
        field = f"per_{what}"
        ratio = getattr(ours, field) / getattr(theirs, field)
        yield _verdict(f"memory per {what}, to zmq.proxy's", MEMORY, ratio, " x")
    yield _verdict("idle with all clients", IDLE * 100, ours.idle_clients * 100, " %")
    yield _verdict("idle with all clients and workers", IDLE * 100, ours.idle_all * 100, " %")


def _verdict(what: str, bound: float, found: float, unit: str) -> Verdict:
    digits = 0 if bound > 100 else 2
    return Verdict(
        what, f"<= {bound:.{digits}f}{unit}", f"{found:.{digits}f}{unit}", found <= bound
    )


def measured(options: argparse.Namespace) -> Findings:
    """Measure what is asked for."""
    clients = _possible_clients()
    found = Findings()
    if _is_asked("connections", options):
        found = found._replace(connections=connections(options.idle, clients, WORKERS))
    if _is_asked("waiting", options):
        kinds = [waiting(kind, QUEUED) for kind in ("bare", "meta")]
        found = found._replace(waiting=[waiting_at_proxy(QUEUED), *kinds])
    grown = []
    for name in SERIES:
        if _is_asked(f"cost {name}", options):
            grown.append(series(name, options.rounds, options.seconds))
    return found._replace(series=grown)


def _is_asked(part: str, options: argparse.Namespace) -> bool:
    if options.only and options.only not in part:
        return False
    if sys.stderr.isatty():
        print(part, file=sys.stderr)
    return True


def _possible_clients() -> int:
    allowed = raise_file_limit() - WORKERS - SPARE
    if allowed < CLIENTS:
        print(f"Only {allowed} clients: this user may open no more files.", file=sys.stderr)
    return min(CLIENTS, allowed)


# What comes of it ----------------------------------------------------------------------

_Lines = Sequence[Sequence[str]]


def connection_lines(found: Findings) -> _Lines:
    """Return a table of what connections cost."""
    head = ["", "KiB per client", "per worker", "per connection", "idle, clients", "idle, all"]
    rows = [
        [
            one.name,
            *(f"{size / 1024:.1f}" for size in (one.per_client, one.per_worker)),
            f"{one.per_connection / 1024:.1f}",
            *(f"{share:.2%}" for share in (one.idle_clients, one.idle_all)),
        ]
        for one in found.connections
    ]
    return [head, *rows]


def waiting_lines(found: Findings) -> _Lines:
    """Return a table of what waiting requests cost."""
    head = ["", "bytes for each", "beside its body"]
    return [head, *([w.name, f"{w.each:.0f}", f"{w.beside:.0f}"] for w in found.waiting)]


def cost_lines(found: Findings) -> _Lines:
    """Return a table of what a request costs."""
    rows = [
        [one.name, f"{point.size:,}", f"{point.cost:.1f}", f"{one.ratio(point):.2f}"]
        for one in found.series
        for point in one.points
    ]
    return [["of", "as many", "us per request", "x"], *rows]


def verdict_lines(found: Findings) -> _Lines:
    """Return a table of the targets."""
    rows = [
        [one.what, one.wanted, one.found, "met" if one.is_met else "missed"]
        for one in found.verdicts()
    ]
    return [["Target", "Wanted", "Found", ""], *rows]


_TABLES = {
    "Connections": connection_lines,
    "Requests that wait": waiting_lines,
    "CPU of the broker": cost_lines,
    "Targets": verdict_lines,
}


def show(found: Findings) -> None:
    """Print all tables."""
    console = Console(width=110)
    for title, lines in _TABLES.items():
        head, *rows = lines(found)
        if not rows:
            continue
        table = Table(*head, box=None, pad_edge=False, title=title, title_justify="left")
        for row in rows:
            table.add_row(*row)
        console.print(table)
        console.print()


def write(found: Findings, place: Path) -> None:
    """Write what the documentation includes: ``scale.rst``, ``.csv`` and ``.png``."""
    place.mkdir(parents=True, exist_ok=True)
    where = facts()
    lines = ["..", "   Written by ``make bench-scale``.", ""]
    lines += [f":{name}: {value}" for name, value in where.items()]
    for title, table in _TABLES.items():
        lines += ["", f".. csv-table:: {title}", "   :header-rows: 1", ""]
        lines += ["   " + ", ".join(f'"{cell}"' for cell in row) for row in table(found)]
    (place / "scale.rst").write_text("\n".join(lines) + "\n")
    with (place / "scale.csv").open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        for table in _TABLES.values():
            writer.writerows([*table(found), []])
    try:
        scale_plot.draw(found.series, where, GROWTH, place / "scale.png")
    except NoMatplotlib as error:
        print(f"No picture is drawn: {error}.", file=sys.stderr)


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.5, help="for each cost")
    parser.add_argument("--idle", type=float, default=10.0, help="seconds of being idle")
    parser.add_argument(
        "--only", default="", metavar="PART", help="connections, waiting, cost, or 'cost methods'"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="write tables and a picture")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    found = measured(options)
    show(found)
    if options.output:
        write(found, options.output)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
