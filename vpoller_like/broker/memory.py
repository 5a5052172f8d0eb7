"""Replies that are remembered under the id of their request."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from vpoller_like.broker.task import Key
from vpoller_like.protocol.encoding import Encoding
from vpoller_like.protocol.reply import ReplyMeta

#: What an entry costs beside its body.
OVERHEAD = 512


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
        self._entries: OrderedDict[Key, Remembered] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, key: Key) -> bool:
        return key in self._entries

    def get(self, key: Key) -> Remembered | None:
        """Return what was answered under ``key``, if it is still known."""
        return self._entries.get(key)

    def put(self, key: Key, entry: Remembered) -> None:
        """Remember a reply; the oldest go when there is no room."""
        self._entries[key] = entry
        self.bytes += len(entry.body) + OVERHEAD
        while self.bytes > self._max_bytes or len(self._entries) > self._max_count:
            self._drop_oldest()
        if len(self._entries) > self.peak:
            self.peak = len(self._entries)
        if self.bytes > self.peak_bytes:
            self.peak_bytes = self.bytes

    def expire(self, now: float) -> None:
        """Drop what was answered too long ago."""
        while self._entries:
            oldest = next(iter(self._entries.values()))
            if oldest.finished + self._seconds > now:
                return
            self._drop_oldest()

    def may_have_forgotten(self, first_sent: float) -> bool:
        """Say whether an unknown id, first sent then, may have been answered here."""
        return first_sent < self.since

    def _drop_oldest(self) -> None:
        _, entry = self._entries.popitem(last=False)
        self.bytes -= len(entry.body) + OVERHEAD
        self.since = max(self.since, entry.arrived)
        self.evicted += 1
