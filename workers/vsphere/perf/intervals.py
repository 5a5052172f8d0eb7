"""The intervals for which a vCenter has figures: realtime, and the historical ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from vpoller_like.errors import InvalidParams, TaskFailed

#: Seconds; hosts and machines are measured so often.
REALTIME_SECONDS = 20
_REALTIME = "realtime"


class Interval(msgspec.Struct, frozen=True):
    """Samples for every so many ``seconds``."""

    seconds: int
    is_realtime: bool = False


REALTIME = Interval(REALTIME_SECONDS, is_realtime=True)


class Intervals:
    """The historical intervals of a vCenter: its PerfInterval, encoded."""

    def __init__(self, infos: Sequence[dict[str, Any]]) -> None:
        self.infos = list(infos)

    def find(self, wanted: str | int | None, *, has_realtime: bool) -> Interval:
        """Return the interval that a request means: by name, by seconds, or by key.

        Without one it is realtime, or the shortest that is kept of objects that have no
        realtime figures. Raises ``InvalidParams``, which lists what there is.
        """
        if wanted is None:
            return REALTIME if has_realtime else self._shortest()
        text = str(wanted).strip().lower()
        if text in (_REALTIME, str(REALTIME_SECONDS)):
            return self._realtime(wanted, has_realtime)
        for info in self.infos:
            if text in (info["name"].lower(), str(info["samplingPeriod"]), str(info["key"])):
                return Interval(int(info["samplingPeriod"]))
        raise self._unknown(f"there is no interval {wanted}", has_realtime)

    def _shortest(self) -> Interval:
        kept = [int(info["samplingPeriod"]) for info in self.infos if info["enabled"]]
        if not kept:
            raise TaskFailed("The vCenter keeps no figures: enable a statistics interval there")
        return Interval(min(kept))

    def _realtime(self, wanted: str | int, has_realtime: bool) -> Interval:
        if not has_realtime:
            raise self._unknown(f"{wanted}: only hosts and virtual machines have it", False)
        return REALTIME

    def _unknown(self, why: str, has_realtime: bool) -> InvalidParams:
        names = [f"{info['name']} ({info['samplingPeriod']} s)" for info in self.infos]
        if has_realtime:
            names.append(f"{_REALTIME} ({REALTIME_SECONDS} s)")
        return InvalidParams(
            f"perf-interval: {why}; there are {', '.join(names)}", field="perf-interval"
        )
