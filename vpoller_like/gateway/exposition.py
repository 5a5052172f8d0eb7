"""Families as text: Prometheus's own format and OpenMetrics, by the Accept header."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import exposition
from prometheus_client.core import Metric
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from vpoller_like.gateway.families import Family

PLAIN = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = openmetrics.CONTENT_TYPE_LATEST

_WRITERS: dict[str, Callable[[Collector], bytes]] = {
    PLAIN: exposition.generate_latest,
    OPENMETRICS: openmetrics.generate_latest,
}


class Families(Collector):
    """Families as prometheus-client takes them."""

    def __init__(self, families: Iterable[Family]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        """Yield each family that has a value."""
        for family in self._families:
            metric = _metric(family)
            if metric.samples:
                yield metric


def write(collector: Collector, content_type: str) -> bytes:
    """Return what ``collector`` has in the format of that type."""
    return _WRITERS[content_type](collector)


def negotiated(accept: str) -> str:
    """Return the content type that a client who sends this Accept header likes better."""
    wishes = dict(_wish(part) for part in reversed(accept.split(",")))
    other = wishes.get("text/*", wishes.get("*/*", 0.0))
    wish = wishes.get("application/openmetrics-text", 0.0)
    return OPENMETRICS if wish > 0 and wish >= wishes.get("text/plain", other) else PLAIN


def _wish(part: str) -> tuple[str, float]:
    kind, *parameters = (each.strip() for each in part.split(";"))
    quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        return kind.lower(), float(quality)
    except ValueError:
        return kind.lower(), 0.0


def _metric(family: Family) -> Metric:
    metric = Metric(family.stem, family.help, family.type, family.unit)
    for sample in family.samples:
        if sample.value is not None:
            labels = dict(zip(family.labels, sample.labels, strict=True))
            metric.add_sample(family.name, labels, sample.value, sample.timestamp)
    return metric
