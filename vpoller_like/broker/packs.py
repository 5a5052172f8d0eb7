"""Many tasks for one worker, or many replies to one batch, sent as one message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.events import Give, Reply
from vpoller_like.protocol.batch import join_replies
from vpoller_like.protocol.encoding import encoding_of
from vpoller_like.protocol.envelope import Envelope
from vpoller_like.protocol.limits import MAX_PACK
from vpoller_like.protocol.worker import Assignment, Attempt, Tasks

Item = TypeVar("Item")


@compiled
class Packs:
    """Collects what is given in one round of the loop."""

    def __init__(self) -> None:
        self.open: dict[tuple[bytes, int], list[Assignment]] = {}

    def add(self, give: Give) -> None:
        """Put tasks into the pack for their worker."""
        key = (give.peer, give.session)
        items = self.open.get(key)
        self.open[key] = give.items if items is None else items + give.items

    def withdraw(self, peer: bytes) -> list[Attempt]:
        """Take out what is for ``peer``, and return which givings that were."""
        sessions = [key for key in self.open if key[0] == peer]
        return [attempt for key in sessions for attempt in attempts(self.open.pop(key))]

    def take(self) -> Sequence[tuple[bytes, Tasks]]:
        """Return the packs with their workers' routing ids, and begin anew."""
        packs, self.open = self.open, {}
        taken: list[tuple[bytes, Tasks]] = []
        for (peer, session), items in packs.items():
            if len(items) == 1:
                taken.append((peer, Tasks(session, items)))
                continue
            for part in _cut(items, [len(item.body) for item in items]):
                taken.append((peer, Tasks(session, part)))
        return taken


def attempts(items: Sequence[Assignment]) -> list[Attempt]:
    """Return which givings ``items`` are."""
    return [Attempt(item.task, item.attempt) for item in items]


@compiled
def reply_messages(replies: Iterable[Reply]) -> list[tuple[bytes, ...]]:
    """Return what is sent for ``replies``: those to one batch together.

    Each of these is a whole value, in the encoding of the batch.
    """
    messages: list[tuple[bytes, ...]] = []
    batches: dict[Envelope, list[tuple[int, bytes]]] = {}
    for reply in replies:
        if reply.index is None:
            messages.append((*reply.envelope, reply.body))
        else:
            batches.setdefault(reply.envelope, []).append((reply.index, reply.body))
    if batches:
        messages.extend(batch_messages(batches))
    return messages


def batch_messages(
    batches: Mapping[Envelope, list[tuple[int, bytes]]],
) -> Iterator[tuple[bytes, ...]]:
    """Yield what is sent for the replies to each batch."""
    for envelope, items in batches.items():
        encoding = encoding_of(items[0][1])
        for part in _cut(items, [len(body) for _, body in items]):
            yield (*envelope, join_replies(part, encoding))


def _cut(items: list[Item], sizes: list[int]) -> list[list[Item]]:
    """Cut ``items`` so that a part closes when its bodies reach ``MAX_PACK`` bytes."""
    if sum(sizes) < MAX_PACK:
        return [items]
    parts: list[list[Item]] = [[]]
    filled = 0
    for item, size in zip(items, sizes, strict=True):
        if filled >= MAX_PACK:
            parts.append([])
            filled = 0
        parts[-1].append(item)
        filled += size
    return parts
