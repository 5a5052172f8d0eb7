"""A ROUTER or DEALER that never blocks, read and written in bursts.

``recv_multipart`` and ``send_multipart`` cost ten times what the socket itself does,
and so do pyzmq's enumerations of flags: here the base socket is called with plain
integers, frame by frame.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Any, NamedTuple

import zmq
import zmq.backend

from vpoller_like.protocol.limits import MAX_ENVELOPE_FRAMES
from vpoller_like.transport.whole import send_whole

_NOBLOCK = int(zmq.NOBLOCK)
_RCVMORE = int(zmq.RCVMORE)

#: The routing id, the envelope, the body, and one more that says "too many".
MAX_FRAMES = 1 + MAX_ENVELOPE_FRAMES + 2

MAX_BURST = 256


class Sent(enum.Enum):
    """What became of a message that was to be sent."""

    DONE = "done"
    #: The peer's queue is full; nothing was sent.
    FULL = "full"
    #: There is no such peer any more; nothing was sent.
    GONE = "gone"


class Message(NamedTuple):
    """A message's frames; ``truncated`` if there were more than are kept."""

    frames: list[bytes]
    truncated: bool


class Port:
    """One socket, owned by one thread.

    ``socket`` is the pyzmq socket, for polling and options.
    """

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self.socket = socket
        self._base: Any = zmq.backend.Socket(socket.context, -1, socket.underlying)
        #: Frames that every message has; then it is asked whether more follow.
        self._certain = 2 if socket.getsockopt(zmq.TYPE) == zmq.ROUTER else 1
        self._burst = 1

    def receive(self, ready: bool) -> list[Message]:
        """Take what has arrived, up to the current burst.

        ``ready`` is what the poll said of this socket. The burst is one message, and
        doubles for as long as each poll reports more: a lone request is not made to
        wait for an attempt that finds nothing, and a flood is read in packs.
        """
        if not ready:
            self._burst = 1
            return []
        messages: list[Message] = []
        try:
            for _ in range(self._burst):
                messages.append(self._receive_one())
        except zmq.Again:
            pass
        self._burst = min(self._burst * 2, MAX_BURST)
        return messages

    def _receive_one(self) -> Message:
        recv, more = self._base.recv, self._base.get
        frames = [recv(_NOBLOCK)]
        frames.extend(recv(_NOBLOCK) for _ in range(1, self._certain))
        truncated = False
        while more(_RCVMORE):
            # The rest of a message is there as soon as its first frame is.
            frame = recv(_NOBLOCK)
            if len(frames) < MAX_FRAMES:
                frames.append(frame)
            else:
                truncated = True
        return Message(frames, truncated)

    def send(self, frames: Sequence[bytes]) -> Sent:
        """Send a message whole, or not at all."""
        try:
            return Sent.DONE if send_whole(self._base.send, frames) else Sent.FULL
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return Sent.GONE
            raise

    def close(self, linger_ms: int = 0) -> None:
        """Close the socket; what is not sent yet has ``linger_ms`` to leave."""
        self._base = None
        self.socket.close(linger_ms)
