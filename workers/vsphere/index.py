"""Which objects have a name: remembered, so that asking for one object costs one call."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import msgspec

from workers.vsphere.flight import SingleFlight

#: For each property that names objects, the objects' ids by its value.
Names = Mapping[str, Mapping[str, list[str]]]


class Snapshot(msgspec.Struct, frozen=True):
    """The names at one moment, or a little later."""

    names: Names
    taken: float

    def ids(self, keys: tuple[str, ...], name: str) -> list[str]:
        """Return the ids of the objects of that ``name``, by the first key that has any."""
        found = (self.names[key].get(name) for key in keys)
        return next((ids for ids in found if ids), [])


class NameIndex:
    """The names of all objects of one kind, kept for ``max_age`` seconds.

    ``load`` asks the vCenter for them. They may have changed since: who uses one checks it.
    """

    def __init__(self, max_age: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_age = max_age
        self._clock = clock
        self._loading: SingleFlight[Snapshot] = SingleFlight()
        self._latest: Snapshot | None = None

    def snapshot(self, load: Callable[[], Names]) -> Snapshot:
        """Return the names, not older than ``max_age``."""
        return self.newer(self._clock() - self._max_age, load)

    def newer(self, than: float, load: Callable[[], Names]) -> Snapshot:
        """Return names that were asked for later than the moment ``than``, by the clock."""
        latest = self._latest
        if latest is not None and latest.taken > than:
            return latest
        return self._loading.do(lambda: self._load(load))

    def _load(self, load: Callable[[], Names]) -> Snapshot:
        taken = self._clock()
        self._latest = Snapshot(load(), taken)
        return self._latest
