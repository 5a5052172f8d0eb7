"""Replies that are remembered under the id of their request."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import msgspec

from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.figures import REMEMBERED_BYTES
from vpoller_like.broker.task import Key
from vpoller_like.protocol.encoding import Encoding
from vpoller_like.protocol.reply import ReplyMeta


@compiled
class Remembered(msgspec.Struct, frozen=True, gc=False):
    """A reply, as it was written, and what is told with it."""

    fingerprint: bytes
    body: bytes
    encoding: Encoding
    #: None for a plain worker's reply, to which nothing is added.
    meta: ReplyMeta | None
    #: When the request came, and when it was answered; monotonic seconds.
    arrived: float
    finished: float


@compiled
class Memory:
    """Remembers replies for a time, up to a number of bytes and of replies.

    ``since`` is the moment before which ids may have been forgotten: the start, or the
    arrival of the youngest request whose reply was dropped.
    """

    def __init__(self, started: float, seconds: float, max_bytes: int, max_count: int) -> None:
        self.since = started
        self.bytes = 0
        self.evicted = 0
        #: The most replies, and bytes of them, that were remembered at once.
        self.peak = 0
        self.peak_bytes = 0
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._entries: dict[Key, Remembered] = {}
        #: The keys, oldest first: an OrderedDict would take twice the time.
        self._order: deque[Key] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Key]:
        """Yield the keys, the oldest first."""
        return iter(list(self._order))

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def get(self, key: Key) -> Remembered | None:
        """Return what was answered under ``key``, if it is still known."""
        return self._entries.get(key)

    def put(self, key: Key, entry: Remembered) -> None:
        """Remember a reply; the oldest go if there is no room.

        A ``key`` that is known, which a fault of the broker's may bring about, keeps its place.
        """
        known = self._entries.get(key)
        if known is None:
            self._order.append(key)
        else:
            self.bytes -= len(known.body) + REMEMBERED_BYTES
        self._entries[key] = entry
        count, size = len(self._order), self.bytes + len(entry.body) + REMEMBERED_BYTES
        self.bytes = size
        if size > self._max_bytes or count > self._max_count:
            self._make_room()
            return
        if count > self.peak:
            self.peak = count
        if size > self.peak_bytes:
            self.peak_bytes = size

    def expire(self, now: float) -> None:
        """Drop what was answered too long ago."""
        while self._order and self._entries[self._order[0]].finished + self._seconds <= now:
            self._drop_oldest()

    def may_have_forgotten(self, first_sent: float) -> bool:
        """Say whether an unknown id, first sent then, may have been answered here."""
        return first_sent < self.since

    def _make_room(self) -> None:
        while self.bytes > self._max_bytes or len(self._order) > self._max_count:
            self._drop_oldest()
        # One of many bytes may have taken the place of several.
        if self.bytes > self.peak_bytes:
            self.peak_bytes = self.bytes

    def _drop_oldest(self) -> None:
        entry = self._entries.pop(self._order.popleft())
        self.bytes -= len(entry.body) + REMEMBERED_BYTES
        if entry.arrived > self.since:
            self.since = entry.arrived
        self.evicted += 1
