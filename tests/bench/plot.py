"""The picture of a run: every way beside ``zmq.proxy``, row by row."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench import original
from tests.bench.results import Figure, Results, broker_cpu, p50, rate
from tests.bench.rows import SMALL, Row
from tests.bench.ways import OURS_C, OURS_PURE, USUAL

COLOURS = {
    OURS_C: "#1f6f8b",
    OURS_PURE: "#99c4cf",
    USUAL: "#b0b0b0",
    original.NAME: "#d08c60",
}
#: What is drawn, and where its bars end; what is beyond is written at them.
PANELS: tuple[tuple[str, Figure, float], ...] = (
    ("requests per second\n(more is better)", rate, 2.0),
    ("median round trip\n(less is better)", p50, 4.0),
    ("broker CPU per request\n(less is better)", broker_cpu, 4.0),
)
#: Inches of one row, and of what is around all of them.
ROW, MARGIN = 0.4, 1.6


class NoMatplotlib(Exception):
    """There is nothing to draw with."""


def draw(results: Results, facts: Mapping[str, str], path: Path) -> None:
    """Write the picture, a PNG; raise ``NoMatplotlib`` where that is not installed."""
    plt = pyplot()
    rows = [row for row in results.rows if row.payload == SMALL and not row.load.in_python]
    height = MARGIN + ROW * len(rows)
    figure, axes = plt.subplots(1, len(PANELS), sharey=True, figsize=(12, height), squeeze=False)
    for axis, (title, wanted, longest) in zip(axes[0], PANELS, strict=True):
        _panel(axis, results, rows, wanted, longest)
        axis.set_title(title, fontsize=10)
    axes[0][0].set_yticks(range(len(rows)), [_label(row) for row in rows], fontsize=8)
    axes[0][0].set_ylim(len(rows) - 0.5, -0.5)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", fontsize=8, ncols=len(COLOURS))
    title = f"As a multiple of zmq.proxy with lean workers, {facts['Date']}"
    figure.suptitle(title, fontsize=11, x=0.02, ha="left")
    figure.text(0.02, 0.01, f"{facts['Processor']}; {facts['Versions']}", fontsize=7)
    figure.tight_layout(rect=(0, 0.02, 1, 0.97))
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def pyplot() -> Any:
    """Return what draws; raise ``NoMatplotlib``."""
    try:
        importlib.import_module("matplotlib").use("Agg")
    except ImportError as error:
        raise NoMatplotlib("matplotlib is not here: install the extra 'bench'") from error
    return importlib.import_module("matplotlib.pyplot")


def _label(row: Row) -> str:
    return f"{row.workers} workers, {row.load.name}{', meta' if row.meta else ''}"


def _panel(
    axis: Any, results: Results, rows: Sequence[Row], wanted: Figure, longest: float
) -> None:
    thick = 0.8 / len(COLOURS)
    for number, (way, colour) in enumerate(COLOURS.items()):
        places, lengths = [], []
        for at, row in enumerate(rows):
            ratio = results.ratio(row, way, wanted)
            if ratio is not None:
                places.append(at + (number - (len(COLOURS) - 1) / 2) * thick)
                lengths.append(ratio.median)
        axis.barh(places, [min(longest, x) for x in lengths], thick, color=colour, label=way)
        for place, length in zip(places, lengths, strict=True):
            axis.text(min(longest, length), place, f" {length:.2f}", va="center", fontsize=6)
    axis.axvline(1.0, color="black", linewidth=0.8)
    axis.set_xlim(0, longest * 1.12)
    axis.tick_params(axis="x", labelsize=8)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
