"""Results on their way to one broker, kept until it has acknowledged them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence

import msgspec

from vpoller_like.protocol.limits import MAX_PACK
from vpoller_like.protocol.worker import Result
from vpoller_like.worker.compiled import compiled
from vpoller_like.worker.run import Run


@compiled
class Pack(msgspec.Struct, frozen=True, gc=False):
    """What one RESULTS carries: results, and the runs that they are of, in the same order.

    ``bytes`` is what the bodies have together.
    """

    seq: int
    runs: list[Run]
    results: list[Result]
    bytes: int


@compiled
class Outbox:
    """``since`` is when the oldest unsent result came, in monotonic seconds."""

    def __init__(self) -> None:
        self.since: float | None = None
        #: The runs of what is unsent, the results, and their bodies' bytes.
        self._runs: list[Run] = []
        self._results: list[Result] = []
        self._bytes = 0
        self._sent: deque[Pack] = deque()
        self._seq = 0

    def __iter__(self) -> Iterator[tuple[Run, Result]]:
        for pack in self._sent:
            yield from zip(pack.runs, pack.results, strict=True)
        yield from zip(self._runs, self._results, strict=True)

    def __bool__(self) -> bool:
        return bool(self._sent or self._results)

    def add(self, run: Run, result: Result, now: float) -> None:
        """Send the ``result`` of ``run``, too."""
        self._runs.append(run)
        self._results.append(result)
        self._bytes += len(result.body)
        if self.since is None:
            self.since = now

    def take_packs(self) -> list[Pack]:
        """Return everything unsent in numbered packs, which count as sent from now on."""
        runs, results, total = self._runs, self._results, self._bytes
        self._runs, self._results, self._bytes, self.since = [], [], 0, None
        if total <= MAX_PACK:
            return [self._pack(runs, results, total)] if results else []
        packs, first = [], 0
        for size, part in _cuts(results):
            last = first + size
            packs.append(self._pack(runs[first:last], results[first:last], part))
            first = last
        return packs

    def _pack(self, runs: list[Run], results: list[Result], size: int) -> Pack:
        self._seq += 1
        pack = Pack(self._seq, runs, results, size)
        self._sent.append(pack)
        return pack

    def acknowledge(self, seq: int) -> list[Run]:
        """The broker has all packs up to ``seq``; return whose results they are.

        A ``seq`` not sent is nothing.
        """
        if seq > self._seq:
            return []
        settled: list[Run] = []
        while self._sent and self._sent[0].seq <= seq:
            settled.extend(self._sent.popleft().runs)
        return settled

    def rewind(self, now: float) -> None:
        """Begin a new session: number from 1 again, and send again what is not acknowledged.

        Until something is sent in it, an acknowledgement is one of the session before, and
        of a number not sent.
        """
        unsent = list(self)
        self._sent.clear()
        self._seq = 0
        self._hold(unsent)
        self.since = now if unsent else None

    def discard(self, unwanted: Callable[[Run], bool]) -> list[Run]:
        """Drop the unsent results of ``unwanted`` runs and return those runs."""
        dropped = [run for run in self._runs if unwanted(run)]
        pairs = zip(self._runs, self._results, strict=True)
        self._hold([(run, result) for run, result in pairs if not unwanted(run)])
        if not self._results:
            self.since = None
        return dropped

    def _hold(self, unsent: Sequence[tuple[Run, Result]]) -> None:
        self._runs = [run for run, _ in unsent]
        self._results = [result for _, result in unsent]
        self._bytes = sum(len(result.body) for result in self._results)


def _cuts(results: Sequence[Result]) -> Sequence[tuple[int, int]]:
    """Return how many results are to be in each pack, and their bodies' bytes."""
    cuts = [(0, 0)]
    for result in results:
        size, total = cuts[-1]
        grown = total + len(result.body)
        if size and grown > MAX_PACK:
            cuts.append((1, len(result.body)))
        else:
            cuts[-1] = (size + 1, grown)
    return cuts
