"""Many tasks for one worker, sent as one message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from vpoller_like.broker.events import Give
from vpoller_like.protocol.limits import MAX_PACK
from vpoller_like.protocol.worker import Assignment, Attempt, Tasks


class Packs:
    """Collects what is given in one round of the loop."""

    def __init__(self) -> None:
        self._open: dict[tuple[bytes, int], list[Assignment]] = {}

    def add(self, give: Give) -> None:
        """Put one task into the pack for its worker."""
        self._open.setdefault((give.peer, give.session), []).append(give.assignment)

    def withdraw(self, peer: bytes) -> list[Attempt]:
        """Take out what is for ``peer``, and return which givings that were."""
        sessions = [key for key in self._open if key[0] == peer]
        return [attempt for key in sessions for attempt in attempts(self._open.pop(key))]

    def take(self) -> Iterator[tuple[bytes, Tasks]]:
        """Yield the packs with their workers' routing ids, and begin anew."""
        packs, self._open = self._open, {}
        for (peer, session), items in packs.items():
            for part in _parts(items):
                yield peer, Tasks(session, part)


def attempts(items: Sequence[Assignment]) -> list[Attempt]:
    """Return which givings ``items`` are."""
    return [Attempt(item.task, item.attempt) for item in items]


def _parts(items: list[Assignment]) -> Iterator[list[Assignment]]:
    """Cut ``items`` so that a part closes when its bodies reach ``MAX_PACK`` bytes."""
    part: list[Assignment] = []
    size = 0
    for item in items:
        part.append(item)
        size += len(item.body)
        if size >= MAX_PACK:
            yield part
            part, size = [], 0
    if part:
        yield part
