"""One clock, one heap of what is to happen, and one pair of dice for all of it."""

from __future__ import annotations

import hashlib
import heapq
import random
from collections import Counter
from collections.abc import Callable
from typing import Any

#: Monotonic seconds at which every simulated world begins.
BEGINNING = 1000.0


class Journal:
    """What has happened. Its digest is equal for two runs that went the same way.

    ``show`` gets each line as it is written, for people; lines are long then.
    """

    def __init__(self, show: Callable[[str], None] | None = None) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self._show = show
        self.lines = 0

    def note(self, now: float, who: str, what: str, data: object = "") -> None:
        """Write one line; ``data`` must look the same in every run."""
        self.lines += 1
        line = f"{now - BEGINNING:10.6f} {who:<10} {what} {data}"
        self._hash.update(line.encode())
        if self._show is not None:
            self._show(line)

    @property
    def digest(self) -> str:
        """A fingerprint of all lines so far."""
        return self._hash.hexdigest()


class World:
    """Time passes only by what happens. ``seen`` counts what did, for the report."""

    def __init__(self, seed: int, journal: Journal) -> None:
        self.seed = seed
        self.dice = random.Random(seed)
        self.now = BEGINNING
        self.journal = journal
        self.seen: Counter[str] = Counter()
        #: The network and the machines are at peace: nothing fails any more.
        self.calm = False
        #: And nobody asks any more: brokers look at the clock less often.
        self.resting = False
        self._heap: list[tuple[float, int, Callable[..., object], tuple[Any, ...]]] = []
        self._serial = 0

    def at(self, when: float, call: Callable[..., object], *args: Any) -> None:
        """Call at ``when``; calls for one moment keep the order in which they were asked."""
        self._serial += 1
        heapq.heappush(self._heap, (max(when, self.now), self._serial, call, args))

    def after(self, delay: float, call: Callable[..., object], *args: Any) -> None:
        """Call ``delay`` seconds from now."""
        self.at(self.now + delay, call, *args)

    def run_until(self, when: float) -> None:
        """Let everything happen that is due until then."""
        heap = self._heap
        while heap and heap[0][0] <= when:
            self.now, _, call, args = heapq.heappop(heap)
            call(*args)
        self.now = when

    def chance(self, probability: float) -> bool:
        """Say yes that often; never when all is calm."""
        return not self.calm and self.dice.random() < probability

    def spread(self, low: float, high: float) -> float:
        """Return a number between these, small ones as likely as large ones by magnitude."""
        return low * (high / low) ** self.dice.random()

    def note(self, who: str, what: str, data: object = "") -> None:
        """Write into the journal."""
        self.journal.note(self.now, who, what, data)
