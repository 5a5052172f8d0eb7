"""What the exporter tells of itself."""

from __future__ import annotations

import platform

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from vpoller_like import __version__
from vpoller_like.gateway.scraper import Scrape

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class Tally:
    """The exporter's own metrics. Their labels take few values, whatever clients ask for."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # The process's memory, processor time and open files.
        ProcessCollector(registry=self.registry)
        build = Gauge(
            "vpoller_exporter_build_info",
            "The exporter's version; always 1.",
            ["version", "python"],
            registry=self.registry,
        )
        build.labels(__version__, platform.python_version()).set(1)
        self._scrapes = Counter(
            "vpoller_exporter_scrapes",
            "Scrapes of targets that have ended, by the error's code, or ok.",
            ["outcome"],
            registry=self.registry,
        )
        self._scrapes.labels("ok")
        self._seconds = Histogram(
            "vpoller_exporter_scrape_duration_seconds",
            "Time that scrapes of targets took.",
            registry=self.registry,
            buckets=_SECONDS,
        )
        #: Scrapes of targets that are under way.
        self.under_way = Gauge(
            "vpoller_exporter_scrapes_under_way",
            "Scrapes of targets that have not ended.",
            registry=self.registry,
        )
        self._requests = Counter(
            "vpoller_exporter_http_requests",
            "Requests answered, by the status.",
            ["code"],
            registry=self.registry,
        )

    def count_scrape(self, scrape: Scrape) -> None:
        """Count a scrape that has ended."""
        self._scrapes.labels(scrape.code or "ok").inc()
        self._seconds.observe(scrape.seconds)

    def count_request(self, status: int) -> None:
        """Count a request that is being answered."""
        self._requests.labels(str(status)).inc()
