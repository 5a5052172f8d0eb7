"""Results that brokers have, remembered for those who ask again."""

from __future__ import annotations

from collections import OrderedDict

import msgspec

from vpoller_like.worker.compiled import compiled
from vpoller_like.worker.figures import REMEMBERED_BYTES
from vpoller_like.worker.run import Run


class Entry(msgspec.Struct, frozen=True, gc=False):
    """A run that is over, and until when it is remembered; monotonic seconds."""

    run: Run
    until: float


@compiled
class Memory:
    """Keeps runs for ``seconds`` after their last acknowledgement.

    At most ``max_count`` of them, and ``max_bytes`` in all.
    """

    def __init__(self, seconds: float, max_bytes: int, max_count: int) -> None:
        self.bytes = 0
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._max_count = max_count
        self._entries: OrderedDict[int, Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def limit(self, max_bytes: int, max_count: int) -> None:
        """Keep no more than this, from the next run on. From any thread."""
        self._max_bytes = max_bytes
        self._max_count = max_count

    def keep(self, run: Run, now: float) -> list[Run]:
        """Remember ``run`` from now on; return those that have to go for it."""
        run.shed()
        self._drop(run.key)
        self._entries[run.key] = Entry(run, now + self._seconds)
        self.bytes += _cost(run)
        evicted = []
        while self.bytes > self._max_bytes or len(self._entries) > self._max_count:
            evicted.append(self._drop_oldest())
        return evicted

    def expire(self, now: float) -> list[Run]:
        """Drop and return what was remembered long enough."""
        expired = []
        while self._entries and next(iter(self._entries.values())).until <= now:
            expired.append(self._drop_oldest())
        return expired

    def take_out(self, run: Run) -> None:
        """``run`` is owed to somebody again and must not be dropped."""
        self._drop(run.key)

    def _drop(self, key: int) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= _cost(entry.run)

    def _drop_oldest(self) -> Run:
        run = next(iter(self._entries.values())).run
        self._drop(run.key)
        return run


def _cost(run: Run) -> int:
    return REMEMBERED_BYTES + (len(run.outcome.body) if run.outcome else 0)
