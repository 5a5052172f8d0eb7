"""The picture of scale: what a request costs, as everything else grows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.bench.plot import pyplot
from tests.bench.scaling import Series


def draw(found: Sequence[Series], facts: Mapping[str, str], bound: float, path: Path) -> None:
    """Write the picture, a PNG; raise ``NoMatplotlib`` where that is not installed."""
    if not found:
        return
    plt = pyplot()
    figure, axes = plt.subplots(1, len(found), sharey=True, figsize=(3 * len(found), 3.6))
    panels = axes if len(found) > 1 else [axes]
    for axis, series in zip(panels, found, strict=True):
        _panel(axis, series, bound)
    panels[0].set_ylabel("broker's CPU per request,\nas a multiple of the first")
    figure.suptitle(f"What a request costs, {facts['Date']}", fontsize=11, x=0.02, ha="left")
    figure.text(0.02, 0.01, f"{facts['Processor']}; {facts['Versions']}", fontsize=6)
    figure.tight_layout(rect=(0, 0.04, 1, 0.97))
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)


def _panel(axis: Any, series: Series, bound: float) -> None:
    places = range(len(series.points))
    ratios = [series.ratio(point) for point in series.points]
    axis.axhspan(2 - bound, bound, color="#e6f0f2", zorder=0)
    axis.plot(places, ratios, marker="o", color="#1f6f8b")
    for place, point in zip(places, series.points, strict=True):
        axis.annotate(
            f"{point.cost:.0f} us",
            (place, series.ratio(point)),
            textcoords="offset points",
            xytext=(0, 8),
            ha="center",
            fontsize=7,
        )
    axis.set_xticks(places, [f"{point.size:,}" for point in series.points], fontsize=8)
    axis.set_xlim(-0.4, len(series.points) - 0.6)
    axis.set_ylim(0, max(2.0, *(ratio * 1.15 for ratio in ratios)))
    axis.set_title(series.name, fontsize=9)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
