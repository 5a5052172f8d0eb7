"""Metrics of everything at once, for monitoring systems that scrape."""

from __future__ import annotations

from functools import cached_property

from vpoller_like.agent import task
from workers.vsphere.methods.base import DISCOVER_TIMEOUT, Methods
from workers.vsphere.metrics.collection import Collection
from workers.vsphere.metrics.families import Family
from workers.vsphere.metrics.params import CollectMetrics


class MetricsMethods(Methods):
    """Metrics of everything at once."""

    @cached_property
    def _collection(self) -> Collection:
        return Collection(self.vcenter)

    @task(
        "metrics.collect",
        retry_safe=True,
        timeout=DISCOVER_TIMEOUT,
        msg="Successfully collected metrics",
    )
    def metrics_collect(self, msg: CollectMetrics) -> list[Family]:
        """Collect metrics of all objects, as `vpoller exporter` serves them."""
        return self._collection.collect(msg)
