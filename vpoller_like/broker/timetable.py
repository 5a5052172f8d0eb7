"""Deadlines of many things, each cheap to set and to forget."""

from __future__ import annotations

import heapq
from collections import OrderedDict
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.figures import GRAIN, SLACK


class Entered(Protocol):
    """What can be in a timetable, in one at a time."""

    #: Unique among what is in it.
    number: int
    #: The timetable's own note of where it is; 0 is nowhere.
    slot: int


T = TypeVar("T", bound=Entered)


@compiled
class Timetable(Generic[T]):
    """Things, each due at a time.

    Deadlines that fall into the same grain share a bucket, so that setting and
    cancelling touch a dict. An emptied bucket goes at once; its place in the order goes
    when such places outnumber the buckets.
    """

    def __init__(self) -> None:
        self._buckets: dict[int, dict[int, T]] = {}
        self._order: list[int] = []

    def __iter__(self) -> Iterator[T]:
        """Yield all that is here, in no particular order."""
        for bucket in self._buckets.values():
            yield from bucket.values()

    def set(self, thing: T, due: float) -> None:
        """Note that ``thing`` is due at ``due``, instead of when it was due before."""
        slot = int(due / GRAIN) + 1
        if thing.slot:
            self.cancel(thing)
        bucket = self._buckets.get(slot)
        if bucket is None:
            bucket = self._buckets[slot] = {}
            heapq.heappush(self._order, slot)
        bucket[thing.number] = thing
        thing.slot = slot

    def cancel(self, thing: T) -> None:
        """Forget a thing; nothing happens if it is not here."""
        slot = thing.slot
        if not slot:
            return
        thing.slot = 0
        bucket = self._buckets[slot]
        del bucket[thing.number]
        if not bucket:
            del self._buckets[slot]
            self._tidy()

    def _tidy(self) -> None:
        if len(self._order) > 2 * len(self._buckets) + SLACK:
            self._order = list(self._buckets)
            heapq.heapify(self._order)

    def pop_due(self, now: float) -> Iterator[T]:
        """Take out and yield all that is due at ``now``, one by one.

        What is not taken, for the taker raised, is still here and due.
        """
        while self._order and self._order[0] * GRAIN <= now:
            slot = self._order[0]
            bucket = self._buckets.get(slot)
            if bucket is None:
                heapq.heappop(self._order)
            else:
                yield self._pop_first(slot, bucket)

    def _pop_first(self, slot: int, bucket: dict[int, T]) -> T:
        if not isinstance(bucket, OrderedDict):
            # To take the first one out of a dict again and again is slow.
            bucket = self._buckets[slot] = OrderedDict(bucket)
        _, thing = bucket.popitem(last=False)
        thing.slot = 0
        if not bucket:
            del self._buckets[slot]
        return thing
