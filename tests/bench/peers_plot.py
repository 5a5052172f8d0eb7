"""The picture of the peers: requests per second, on a logarithmic scale."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from tests.bench.plot import pyplot

PANELS = (("sequential", "one after the other, per second"), ("burst", "in bursts, per second"))


def draw(
    found: Mapping[str, Mapping[str, tuple[float, float]]], facts: Mapping[str, str], path: Path
) -> None:
    """Write the picture, a PNG; raise ``NoMatplotlib`` where that is not installed."""
    plt = pyplot()
    names = sorted(found, key=lambda name: found[name]["burst"][0])
    figure, axes = plt.subplots(1, len(PANELS), sharey=True, figsize=(11, 1.5 + 0.4 * len(names)))
    colours = ["#1f6f8b" if name.startswith("ours") else "#b0b7bc" for name in names]
    for axis, (field, title) in zip(axes, PANELS, strict=True):
        values = [found[name][field][0] for name in names]
        axis.barh(names, values, color=colours)
        for place, value in enumerate(values):
            axis.text(value, place, f" {value:,.0f}", va="center", fontsize=8)
        axis.set_xscale("log")
        axis.set_xlim(right=max(values) * 4)
        axis.set_title(title, fontsize=10)
        for side in ("top", "right"):
            axis.spines[side].set_visible(False)
    figure.suptitle(f"An echo by two workers, {facts['Date']}", fontsize=11, x=0.02, ha="left")
    figure.text(0.02, 0.01, facts["Processor"], fontsize=7)
    figure.tight_layout(rect=(0, 0.03, 1, 0.97))
    figure.savefig(path, dpi=110, metadata={"Software": None})
    plt.close(figure)
