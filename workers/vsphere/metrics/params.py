"""The parameters of ``metrics.collect``."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from workers.vsphere.params import VSphereParams

Collector = Literal["inventory", "snapshots", "alarms", "realtime", "historical"]

_Filter = Annotated[
    str, msgspec.Meta(pattern=r"\A(vm|host|cluster|datastore|datacenter):.+", max_length=500)
]
_Filters = Annotated[list[_Filter], msgspec.Meta(max_length=100)]


class CollectMetrics(VSphereParams, frozen=True, forbid_unknown_fields=True):
    """``metrics.collect``. A misspelt ``exclude`` would tell of what was to be left out."""

    collect: Annotated[list[Collector], msgspec.Meta(description="What to collect")] = (
        msgspec.field(default_factory=lambda: ["inventory", "snapshots", "alarms"])
    )
    include: Annotated[
        _Filters,
        msgspec.Meta(description="Objects to tell of, by kind and pattern (vm:db*); all if empty"),
    ] = []
    exclude: Annotated[
        _Filters, msgspec.Meta(description="Objects to leave out, by kind and pattern")
    ] = []
