"""What a run has found, and the ratios of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterator
from typing import NamedTuple

from tests.bench.measuring import Sample
from tests.bench.rows import Row
from tests.bench.ways import BASE

#: Takes one figure out of a sample.
Figure = Callable[[Sample], float]


def rate(sample: Sample) -> float:
    """Requests per second."""
    return sample.rate


def p50(sample: Sample) -> float:
    """Median round trip."""
    return sample.p50


def broker_cpu(sample: Sample) -> float:
    """CPU time of the broker per request."""
    return sample.broker_cpu


class Ratio(NamedTuple):
    """The median of the rounds' ratios, and the least and greatest of them."""

    median: float
    least: float
    greatest: float

    def __str__(self) -> str:
        return f"{self.median:.2f}"


class Results:
    """The samples of each row and way, round by round; ``None`` where answers were lost."""

    def __init__(self) -> None:
        self._samples: dict[Row, dict[str, list[Sample | None]]] = {}

    def add(self, row: Row, way: str, sample: Sample | None) -> None:
        """Take in one more round's sample."""
        self._samples.setdefault(row, {}).setdefault(way, []).append(sample)

    @property
    def rows(self) -> list[Row]:
        """The rows that were measured, in order."""
        return list(self._samples)

    def ways(self, row: Row) -> Iterator[str]:
        """Yield the ways that ``row`` was measured on."""
        yield from self._samples.get(row, {})

    def lost(self, row: Row, way: str) -> bool:
        """Say whether answers were lost there."""
        return None in self._samples.get(row, {}).get(way, ())

    def median(self, row: Row, way: str, figure: Figure) -> float | None:
        """Return the median of a figure over the rounds; ``None`` where it was not measured."""
        found = [figure(sample) for sample in self._of(row, way) if sample is not None]
        return statistics.median(found) if found else None

    def ratio(self, row: Row, way: str, figure: Figure, base: str = BASE) -> Ratio | None:
        """Return a figure of ``way`` as a multiple of ``base``'s in the same round."""
        pairs = zip(self._of(row, way), self._of(row, base), strict=False)
        found = [
            figure(one) / figure(other)
            for one, other in pairs
            if one is not None and other is not None and figure(other)
        ]
        if not found or not math.isfinite(sum(found)):
            return None
        return Ratio(statistics.median(found), min(found), max(found))

    def _of(self, row: Row, way: str) -> list[Sample | None]:
        return self._samples.get(row, {}).get(way, [])
