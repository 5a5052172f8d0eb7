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
#: Bytes at which a burst ends, too: what is read is held at once.
BURST_BYTES = 8 << 20
#: Surplus frames that are thrown away in one turn: some milliseconds. A message may have a
#: million of them, and other sockets are to be served meanwhile.
SKIPPED_PER_TURN = 4096


class Sent(enum.Enum):
    """What became of a message that was to be sent."""

    DONE = "done"
    #: The peer's queue is full; nothing was sent.
    FULL = "full"
    #: There is no such peer any more; nothing was sent.
    GONE = "gone"


class Message(NamedTuple):
    """A message's frames; ``truncated`` if there were more than are kept.

    ``user`` is who sent it, where the connection had to show that (see
    :attr:`Port.asks_users`).
    """

    frames: list[bytes]
    truncated: bool
    user: str = ""


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
        #: Messages that one call of ``receive`` takes at most.
        self.max_burst = MAX_BURST
        #: The last ``receive`` stopped before it found nothing more.
        self.has_more = False
        #: Frames of a message that are kept, the routing id among them.
        self.max_frames = MAX_FRAMES
        #: The message whose surplus frames are being thrown away.
        self._overlong: Message | None = None
        #: Its connections were let in by name: each message is to say whose it is.
        self.asks_users = False

    def receive(self, ready: bool) -> list[Message]:
        """Take what has arrived, up to the current burst.

        ``ready`` is what the poll said of this socket. The burst is one message, and
        doubles for as long as each poll reports more: a lone request is not made to
        wait for an attempt that finds nothing, and a flood is read in packs. It ends at
        ``BURST_BYTES``, and amid a message of very many frames, which is read on in the
        next turn.
        """
        self.has_more = ready
        if not ready:
            self._burst = 1
            return []
        messages: list[Message] = []
        size = 0
        try:
            for _ in range(self._burst):
                message = self._receive_one() if self._overlong is None else self._skip()
                if message is None:
                    break
                messages.append(message)
                size += sum(map(len, message.frames))
                if size >= BURST_BYTES:
                    break
        except zmq.Again:
            self.has_more = False
        self._burst = min(self._burst * 2, self.max_burst)
        return messages

    def _receive_one(self) -> Message | None:
        recv, more = self._base.recv, self._base.get
        frames = [recv(_NOBLOCK)]
        user = ""
        if self.asks_users:
            # By message: a peer may choose its routing id, and one connection gets that
            # of another that has ended.
            frame = recv(_NOBLOCK, False)
            user = _user_of(frame)
            frames.append(frame.bytes)
        else:
            frames.extend(recv(_NOBLOCK) for _ in range(1, self._certain))
        while more(_RCVMORE):
            if len(frames) == self.max_frames:
                self._overlong = Message(frames, True, user)
                return self._skip()
            # The rest of a message is there as soon as its first frame is.
            frames.append(recv(_NOBLOCK))
        return Message(frames, False, user)

    def _skip(self) -> Message | None:
        """Throw surplus frames away; return their message once its last one is reached.

        A frame that is not copied tells of itself whether more follow, in a third of the time
        that it takes to ask the socket.
        """
        recv = self._base.recv
        for _ in range(SKIPPED_PER_TURN):
            if not recv(_NOBLOCK, False).more:
                message, self._overlong = self._overlong, None
                return message
        return None

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


def _user_of(frame: Any) -> str:
    """Return the ZAP user id of the connection that ``frame`` came by; empty if it has none.

    Where ZAP was not asked, the peer itself may have said anything.
    """
    try:
        user: str = frame.get("User-Id")
    except (zmq.ZMQError, UnicodeDecodeError):
        return ""
    return user
