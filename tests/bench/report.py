"""A run's figures on the terminal, as reStructuredText and as CSV."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from tests.bench import original
from tests.bench.measuring import Sample
from tests.bench.results import Figure, Results, broker_cpu, p50, rate
from tests.bench.rows import Row
from tests.bench.targets import Verdict
from tests.bench.ways import BASE, DIRECT, OURS_C, OURS_PURE, USUAL

#: The load has been at work for so much of the time that it may have been the limit.
BUSY = 0.9


class Shown(NamedTuple):
    """One figure on the terminal: its heading, digits after the point, and whether as a ratio."""

    heading: str
    figure: Figure
    digits: int = 0
    ratio: bool = False


_SHOWN = (
    Shown("req/s", rate, ratio=True),
    Shown("p50 us", p50, ratio=True),
    Shown("p99 us", lambda sample: sample.p99),
    Shown("broker us", broker_cpu, 1, ratio=True),
    Shown("worker us", lambda sample: sample.worker_cpu, 1),
    Shown("load us", lambda sample: sample.load_cpu, 1),
)


def show(results: Results, verdicts: Sequence[Verdict]) -> None:
    """Print all figures, and what was reached."""
    console = Console(width=150)
    console.print(_figures(results))
    if verdicts:
        console.print(_goals(verdicts))
    for line in _busy(results):
        console.print(line)


def _figures(results: Results) -> Table:
    table = Table("row", "way", box=None, pad_edge=False)
    for shown in _SHOWN:
        table.add_column(shown.heading, justify="right")
        if shown.ratio:
            table.add_column("x", justify="right")
    for row in results.rows:
        for way in results.ways(row):
            table.add_row(row.name, way, *_cells(results, row, way))
    return table


def _cells(results: Results, row: Row, way: str) -> Iterator[str]:
    for shown in _SHOWN:
        found = results.median(row, way, shown.figure)
        lost = "lost" if results.lost(row, way) else ""
        yield lost or (f"{found:.{shown.digits}f}" if found else "")
        if shown.ratio:
            yield str(results.ratio(row, way, shown.figure) or "")


def _goals(verdicts: Sequence[Verdict]) -> Table:
    table = Table("target", "row", "way", "", box=None, pad_edge=False)
    for heading in ("wanted", "found", "to lean"):
        table.add_column(heading, justify="right")
    for verdict in verdicts:
        goal = verdict.goal
        word = "met" if verdict.is_met else "[bold]missed"
        numbers = (_bound(verdict), f"{verdict.found:.2f}", _to_lean(verdict))
        table.add_row(goal.name, goal.row.name, goal.way, word, *numbers)
    return table


def _bound(verdict: Verdict) -> str:
    return f"{'>=' if verdict.goal.at_least else '<='} {verdict.goal.bound:.2f}"


def _to_lean(verdict: Verdict) -> str:
    return "" if verdict.lean is None else f"{verdict.lean:.2f}"


def _busy(results: Results) -> Iterator[str]:
    for row in results.rows:
        for way in results.ways(row):
            share = results.median(row, way, lambda sample: sample.load_share)
            if share is not None and share > BUSY and not row.load.in_python:
                yield f"{row.name}, {way}: the load had {share:.0%} of a core; it was the limit"


# Files ---------------------------------------------------------------------------------


def write_csv(results: Results, path: Path) -> None:
    """Write every figure: the medians, and the ratios with their least and greatest."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_csv_head())
        for row in results.rows:
            for way in results.ways(row):
                writer.writerow(_csv_line(results, row, way))


def _csv_head() -> list[str]:
    ratios = [
        f"{name} {end}" for name in ("rate", "p50", "broker_cpu") for end in ("x", "min", "max")
    ]
    return ["workers", "load", "size", "meta", "way", *Sample._fields, *ratios]


def _csv_line(results: Results, row: Row, way: str) -> list[str]:
    head = [row.workers, row.load.name, row.size, row.kind, way]
    for field in Sample._fields:
        found = results.median(row, way, lambda sample, field=field: getattr(sample, field))
        head.append("" if found is None else f"{found:.1f}")
    for figure in (rate, p50, broker_cpu):
        ratio = results.ratio(row, way, figure)
        head += [f"{part:.3f}" for part in ratio] if ratio else [""] * 3
    return head


def write_rst(
    results: Results, verdicts: Sequence[Verdict], facts: Mapping[str, str], path: Path
) -> None:
    """Write what the documentation includes."""
    lines = ["..", "   Written by ``make bench``.", ""]
    lines += [f":{name}: {value}" for name, value in facts.items()]
    for title, head, body in _tables(results, verdicts):
        if body:
            lines += ["", *rst_table(title, head, body)]
    path.write_text("\n".join(lines) + "\n")


class _Written(NamedTuple):
    """One figure in the documentation: what it is, and the digits of what it is a multiple of."""

    title: str
    figure: Figure
    digits: int


_WRITTEN = (
    _Written("Requests per second", rate, 0),
    _Written("Median round trip, in microseconds", p50, 0),
    _Written("The broker's CPU per request, in microseconds", broker_cpu, 1),
)
_WORKERS = {"python": "Python workers", "c": "workers in C"}
_RATIOS = ("Load", "Size", "``meta``", "``zmq.proxy``", "usual", "C", "pure", "vPoller")
_DIRECT = ("Workers", "Size", "``meta``", "Requests per second", "x", "p50, us", "x")
_GOALS = ("Target", "Row", "Transport", "Wanted", "Found", "", "To lean workers")

_BESIDE = (USUAL, OURS_C, OURS_PURE, original.NAME)

Body = list[list[str]]


def _tables(
    results: Results, verdicts: Sequence[Verdict]
) -> Iterator[tuple[str, Sequence[str], Body]]:
    yield "Targets", _GOALS, [_goal_cells(verdict) for verdict in verdicts]
    for workers, name in _WORKERS.items():
        rows = [row for row in results.rows if row.workers == workers]
        for written in _WRITTEN:
            body = [_ratios(results, row, written) for row in rows]
            yield f"{written.title}: {name}", _RATIOS, body
    rows = [row for row in results.rows if DIRECT in results.ways(row)]
    yield "A direct connection, one client", _DIRECT, [_direct(results, row) for row in rows]


def _ratios(results: Results, row: Row, written: _Written) -> list[str]:
    return [
        *(row.load.name, row.size, row.kind),
        _plain(results, row, BASE, written.figure, written.digits),
        *(_times(results, row, way, written.figure) for way in _BESIDE),
    ]


def _direct(results: Results, row: Row) -> list[str]:
    cells = [row.workers, row.size, row.kind]
    for figure in (rate, p50):
        cells += [_plain(results, row, DIRECT, figure, 0), _times(results, row, DIRECT, figure)]
    return cells


def _plain(results: Results, row: Row, way: str, figure: Figure, digits: int) -> str:
    found = results.median(row, way, figure)
    return "" if found is None else f"{found:,.{digits}f}"


def _times(results: Results, row: Row, way: str, figure: Figure) -> str:
    return "lost" if results.lost(row, way) else str(results.ratio(row, way, figure) or "")


def _goal_cells(verdict: Verdict) -> list[str]:
    goal = verdict.goal
    word = "met" if verdict.is_met else "**missed**"
    return [
        goal.name,
        goal.row.name,
        goal.way.removeprefix("ours, "),
        _bound(verdict),
        f"{verdict.found:.2f}",
        word,
        _to_lean(verdict),
    ]


def rst_table(title: str, head: Sequence[str], body: Iterable[Sequence[str]]) -> Iterator[str]:
    """Yield the lines of a table in reStructuredText."""
    yield f".. csv-table:: {title}"
    yield "   :header-rows: 1"
    yield ""
    for line in (head, *body):
        yield "   " + ", ".join(_quoted(cell) for cell in line)


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"'
