"""Many tasks for one worker, or many replies to one batch, sent as one message."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vpoller_like.broker.events import Give, Reply
from vpoller_like.protocol import batch
from vpoller_like.protocol.encoding import Encoding, encoding_of
from vpoller_like.protocol.envelope import Envelope
from vpoller_like.protocol.limits import MAX_PACK
from vpoller_like.protocol.worker import Assignment, Attempt, Tasks


class Packs:
    """Collects what is given in one round of the loop."""

    def __init__(self) -> None:
        self._open: dict[tuple[bytes, int], list[Assignment]] = {}

    def add(self, give: Give) -> None:
        """Put tasks into the pack for their worker."""
        self._open.setdefault((give.peer, give.session), []).extend(give.items)

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


def reply_messages(replies: Iterable[Reply]) -> list[tuple[bytes, ...]]:
    """Return what is sent for ``replies``: those to one batch together."""
    messages: list[tuple[bytes, ...]] = []
    batches: dict[Envelope, ReplyPack] = {}
    for reply in replies:
        if reply.index is None:
            messages.append((*reply.envelope, reply.body))
            continue
        pack = batches.get(reply.envelope)
        if pack is None:
            pack = batches[reply.envelope] = ReplyPack(encoding_of(reply.body))
        pack.add(reply.index, reply.body)
        if pack.size >= MAX_PACK:
            messages.append((*reply.envelope, batches.pop(reply.envelope).written()))
    messages.extend((*envelope, pack.written()) for envelope, pack in batches.items())
    return messages


class ReplyPack:
    """Replies to requests of one batch, in its ``encoding``."""

    def __init__(self, encoding: Encoding) -> None:
        self._encoding = encoding
        self._items: list[tuple[int, bytes]] = []
        self.size = 0

    def add(self, index: int, body: bytes) -> None:
        """Add one, a whole value in the pack's encoding."""
        self._items.append((index, body))
        self.size += len(body)

    def written(self) -> bytes:
        """Return the body that holds them all."""
        return batch.join_replies(self._items, self._encoding)
