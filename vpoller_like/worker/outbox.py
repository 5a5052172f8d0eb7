"""Results on their way to one broker, kept until it has acknowledged them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

import msgspec

from vpoller_like.protocol.limits import MAX_PACK
from vpoller_like.protocol.worker import Result
from vpoller_like.worker.run import Debt, Run


class Owed(msgspec.Struct, frozen=True, gc=False):
    """One result, and the run and debt that it settles."""

    run: Run
    debt: Debt
    result: Result


class Pack(msgspec.Struct, frozen=True, gc=False):
    """What one RESULTS carries."""

    seq: int
    items: list[Owed]


class Outbox:
    """``since`` is when the oldest unsent result came, in monotonic seconds."""

    def __init__(self) -> None:
        self.since: float | None = None
        self._unsent: deque[Owed] = deque()
        self._sent: deque[Pack] = deque()
        self._seq = 0

    def __iter__(self) -> Iterator[Owed]:
        for pack in self._sent:
            yield from pack.items
        yield from self._unsent

    def __bool__(self) -> bool:
        return bool(self._sent or self._unsent)

    def add(self, owed: Owed, now: float) -> None:
        """Send this one, too."""
        self._unsent.append(owed)
        if self.since is None:
            self.since = now

    def take_packs(self) -> list[Pack]:
        """Return everything unsent in numbered packs, which count as sent from now on."""
        packs = []
        while self._unsent:
            self._seq += 1
            packs.append(Pack(self._seq, self._next_pack()))
        self._sent.extend(packs)
        self.since = None
        return packs

    def _next_pack(self) -> list[Owed]:
        items = [self._unsent.popleft()]
        size = len(items[0].result.body)
        while self._unsent and size + len(self._unsent[0].result.body) <= MAX_PACK:
            items.append(self._unsent.popleft())
            size += len(items[-1].result.body)
        return items

    def acknowledge(self, seq: int) -> list[Owed]:
        """The broker has all packs up to ``seq``; return them. A ``seq`` not sent is nothing."""
        if seq > self._seq:
            return []
        settled: list[Owed] = []
        while self._sent and self._sent[0].seq <= seq:
            settled.extend(self._sent.popleft().items)
        return settled

    def rewind(self, now: float) -> None:
        """Begin a new session: number from 1 again, and send again what is not acknowledged.

        Until something is sent in it, an acknowledgement is one of the session before, and
        of a number not sent.
        """
        self._unsent = deque(self)
        self._sent.clear()
        self._seq = 0
        self.since = now if self._unsent else None

    def discard(self, unwanted: Callable[[Owed], bool]) -> list[Owed]:
        """Drop the unsent results that are ``unwanted`` and return them."""
        dropped = [owed for owed in self._unsent if unwanted(owed)]
        self._unsent = deque(owed for owed in self._unsent if not unwanted(owed))
        if not self._unsent:
            self.since = None
        return dropped
