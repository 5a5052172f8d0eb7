"""The picture of the vSphere agent's run: milliseconds of each way, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tests.bench.plot import pyplot

if TYPE_CHECKING:
    from tests.bench.vsphere import Line

COLOURS = ("#1f6f8b", "#d08c60", "#b0b7bc")


def draw(told: Sequence[Line], ways: Sequence[str], facts: Mapping[str, str], path: Path) -> None:
    """Write the picture, a PNG; raise ``NoMatplotlib`` where that is not installed."""
    plt = pyplot()
    sizes = sorted({line.size for line in told})
    jobs = list(dict.fromkeys(line.job for line in told))
    figure, axes = plt.subplots(
        1, len(sizes), sharey=True, figsize=(12, 1.8 + 0.6 * len(jobs)), squeeze=False
    )
    thick = 0.8 / len(ways)
    for axis, size in zip(axes[0], sizes, strict=True):
        for number, (way, colour) in enumerate(zip(ways, COLOURS, strict=True)):
            lines = [line for line in told if line.size == size and line.way == way]
            places = [jobs.index(line.job) + (number - 1) * thick for line in lines]
            axis.barh(places, [line.ms for line in lines], thick, color=colour, label=way)
            for place, line in zip(places, lines, strict=True):
                text = f" {line.ms:,.0f} ms, {line.calls:,}"
                axis.text(line.ms, place, text, va="center", fontsize=6)
        axis.set_xscale("log")
        axis.set_xlim(right=10 * max(line.ms for line in told))
        axis.set_title(f"{size:,} virtual machines", fontsize=10)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    axes[0][0].set_yticks(range(len(jobs)), jobs, fontsize=8)
    axes[0][0].set_ylim(len(jobs) - 0.5, -0.5)
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", fontsize=8, ncols=3)
    title = f"Milliseconds and SOAP calls, {facts['Date']}"
    figure.suptitle(title, fontsize=11, x=0.02, ha="left")
    figure.text(0.02, 0.01, f"{facts['Processor']}; {facts['Versions']}", fontsize=7)
    figure.tight_layout(rect=(0, 0.03, 1, 0.96))
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
