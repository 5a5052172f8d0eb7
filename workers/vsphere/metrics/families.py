"""Families of samples, as ``vpoller exporter`` takes them from any agent."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

PREFIX = "vsphere_"


class Family(msgspec.Struct):
    """All samples of one metric: labels' values, in the order of ``labels``, and a value.

    Names and units are as Prometheus wants them: base units, which the name ends with.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    unit: str = ""
    type: Literal["gauge", "counter", "info"] = "gauge"
    samples: list[tuple[list[str], float]] = []

    def add(self, labels: Mapping[str, str], value: Any) -> None:
        """Add a sample, unless its value is not known."""
        if value is not None and math.isfinite(value):
            self.samples.append(([labels[name] for name in self.labels], value))
