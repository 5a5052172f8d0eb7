"""The parameters of the methods that measure."""

from __future__ import annotations

from typing import Annotated

import msgspec

from vpoller_like.errors import InvalidParams
from workers.vsphere.params import Name, Named, VSphereParams

Counter = Annotated[
    str | int | None,
    msgspec.Meta(description="The counter, such as cpu.usage.percent.average, or its id"),
]
PerfInterval = Annotated[
    str | int | None,
    msgspec.Meta(description="An interval by name or seconds: realtime, Past day, 300"),
]


class MetricInfo(VSphereParams, frozen=True):
    """Every ``.perf.metric.info``."""

    name: Annotated[
        Name, msgspec.Meta(description="Its name, inventory path, UUID or reference, as in .get")
    ]
    counter_name: Counter = msgspec.field(default=None, name="counter-name")
    perf_interval: PerfInterval = msgspec.field(default=None, name="perf-interval")


class MetricGet(Named, frozen=True):
    """Every ``.perf.metric.get``."""

    counter_name: Counter = msgspec.field(default=None, name="counter-name")
    counters: Annotated[
        list[str | int], msgspec.Meta(description="Several counters in place of counter-name")
    ] = []
    perf_interval: PerfInterval = msgspec.field(default=None, name="perf-interval")
    max_sample: Annotated[
        int,
        msgspec.Meta(ge=1, le=4320, description="The most samples of each series, the newest"),
    ] = msgspec.field(default=1, name="max-sample")
    instance: Annotated[
        str,
        msgspec.Meta(description="A part of the object, such as vmnic0; * for all, empty for none"),
    ] = ""

    @property
    def is_plain(self) -> bool:
        """Whether one counter of one object is asked for, as vPoller does."""
        return not self.is_bulk and not self.counters

    @property
    def measured(self) -> list[tuple[str, str | int]]:
        """The counters, each with the parameter that it is from; raise ``InvalidParams``
        when there is none.
        """
        several = [("counters", each) for each in self.counters]
        if self.counter_name is not None:
            return [("counter-name", self.counter_name), *several]
        if not several:
            raise InvalidParams(
                "counter-name: missing; give counter-name, or counters for several",
                field="counter-name",
            )
        return several


class OneMachine(VSphereParams, frozen=True):
    """Methods about one virtual machine."""

    name: Annotated[Name, msgspec.Meta(description="The virtual machine, as in vm.get")]
