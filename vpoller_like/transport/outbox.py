"""Sending without blocking: what a peer does not take yet waits, up to a bound."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from vpoller_like.transport.port import Port, Sent

#: What a waiting message costs beside its frames' bytes.
OVERHEAD = 256


class Outbox:
    """The sending side of a ROUTER's port. The first frame of a message names the peer.

    Messages to one peer keep their order. ``max_bytes`` bounds what waits for all peers
    together, each message counted with ``OVERHEAD``; a message beyond it is refused.
    """

    def __init__(self, port: Port, max_bytes: int) -> None:
        self._port = port
        self._max_bytes = max_bytes
        self._waiting: dict[bytes, deque[Sequence[bytes]]] = {}
        self.bytes = 0

    def send(self, frames: Sequence[bytes]) -> Sent:
        """Send, or keep for later; FULL says that the message is lost."""
        if frames[0] not in self._waiting:
            sent = self._port.send(frames)
            if sent is not Sent.FULL:
                return sent
        return self._keep(frames)

    def _keep(self, frames: Sequence[bytes]) -> Sent:
        size = _size(frames)
        if self.bytes + size > self._max_bytes:
            return Sent.FULL
        self.bytes += size
        self._waiting.setdefault(frames[0], deque()).append(frames)
        return Sent.DONE

    def flush(self) -> list[bytes]:
        """Try again what waits; return the peers that are gone."""
        return [peer for peer in list(self._waiting) if self._flush_peer(peer) is Sent.GONE]

    def _flush_peer(self, peer: bytes) -> Sent:
        waiting = self._waiting[peer]
        while waiting:
            sent = self._port.send(waiting[0])
            if sent is Sent.FULL:
                return sent
            if sent is Sent.GONE:
                break
            self.bytes -= _size(waiting.popleft())
        self.bytes -= sum(map(_size, waiting))
        del self._waiting[peer]
        return Sent.GONE if waiting else Sent.DONE


def _size(frames: Sequence[bytes]) -> int:
    return OVERHEAD + sum(map(len, frames))
