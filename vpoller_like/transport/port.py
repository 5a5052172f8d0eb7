"""A ROUTER or DEALER that never blocks, read and written in bursts."""

from __future__ import annotations

from collections.abc import Sequence

import zmq
import zmq.backend

from vpoller_like.protocol.limits import MAX_ENVELOPE_FRAMES
from vpoller_like.transport import burst
from vpoller_like.transport.compiled import compiled
from vpoller_like.transport.message import Message, Sent

__all__ = ["MAX_BURST", "MAX_FRAMES", "Message", "Port", "Sent"]

#: The routing id, the envelope, the body, and one more that says "too many".
MAX_FRAMES = 1 + MAX_ENVELOPE_FRAMES + 2

MAX_BURST = 256


@compiled
class Port:
    """One socket, owned by one thread.

    ``socket`` is the pyzmq socket, for polling and options.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket
        base = zmq.backend.Socket(socket.context, -1, socket.underlying)
        self._burst_socket = burst.open_socket(base, socket.getsockopt(zmq.TYPE) == zmq.ROUTER)
        #: Messages that the first receive after a pause asks for. To find nothing more costs
        #: little in C, and an exception in Python.
        self._first_burst = MAX_BURST if burst.KIND == "c" else 1
        self._burst = self._first_burst
        #: Messages that one call of ``receive`` takes at most.
        self.max_burst = MAX_BURST
        #: Nothing is there to be read but what the descriptor tells of.
        self.settled = False
        #: Frames of a message that are kept, the routing id among them.
        self.max_frames = MAX_FRAMES
        #: Its connections were let in by name: each message is to say whose it is.
        self.asks_users = False

    def receive(self, ready: bool) -> list[Message]:
        """Take what has arrived, up to the current burst.

        ``ready`` is what the poll said of this socket. In pure Python the burst is one
        message, doubles with each poll that reports more, and is halved by each that does not:
        a lone request is not made to wait for an attempt that finds nothing, and a flood is
        read in packs, also while two sockets are ready by turns. It ends at
        ``BURST_BYTES``, and amid a message of very many frames, which is read on in the
        next turn.
        """
        if not ready:
            self._burst = max(self._first_burst, self._burst // 2)
            return []
        # Also where that fails, with what it has already received.
        self.settled = False
        messages, has_more = self._burst_socket.receive(
            min(self._burst, self.max_burst), self.max_frames, self.asks_users
        )
        self.settled = not has_more
        self._burst = min(self._burst * 2, self.max_burst)
        return messages

    def pending(self) -> bool:
        """Say whether there is something to read that the descriptor may not tell of.

        There is not where it is ``settled``.
        """
        pending = self._burst_socket.pending()
        self.settled = not pending
        return pending

    def send(self, frames: Sequence[bytes]) -> Sent:
        """Send a message whole, or not at all."""
        self.settled = False
        return self._burst_socket.send(frames)

    def send_all(self, messages: Sequence[Sequence[bytes]]) -> list[Sent]:
        """Send each message whole or not at all; one peer's messages keep their order.

        Returns what became of each. After one that found its peer's queue full, that peer's
        others are not tried.
        """
        self.settled = False
        return self._burst_socket.send_all(messages)

    def close(self, linger_ms: int = 0) -> None:
        """Close the socket; what is not sent yet has ``linger_ms`` to leave."""
        self._burst_socket.close()
        self.socket.close(linger_ms)
