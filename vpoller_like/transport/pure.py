"""Many messages to or from a socket in one call, without the C extension.

``recv_multipart`` and ``send_multipart`` cost ten times what the socket itself does,
and so do pyzmq's enumerations of flags: here the base socket is called with plain
integers, frame by frame. A frame that is not copied at once tells of itself whether
more follow, in a third of the time that it takes to ask the socket.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import Any

import zmq

from vpoller_like.transport.message import DONE, FULL, GONE, Message, Sent
from vpoller_like.transport.whole import send_whole

_NOBLOCK = int(zmq.NOBLOCK)
_EVENTS = int(zmq.EVENTS)
_POLLIN = int(zmq.POLLIN)
_POLLOUT = int(zmq.POLLOUT)

#: Bytes at which a burst ends: what is read is held at once.
BURST_BYTES = 8 << 20
#: Surplus frames that are thrown away in one turn: some milliseconds. A message may have a
#: million of them, and other sockets are to be served meanwhile.
SKIPPED_PER_TURN = 4096


class PureSocket:
    """One socket that serves one thread at a time, and never blocks; see :class:`burst.Socket`."""

    def __init__(self, base: Any, routed: bool) -> None:
        self._base = base
        self._routed = routed
        #: The message whose surplus frames are being thrown away.
        self._overlong: Message | None = None
        self._skips = 0

    def receive(self, count: int, max_frames: int, asks_users: bool) -> tuple[list[Message], bool]:
        """Take up to ``count`` messages; the second value says that there may be more."""
        self._open()
        self._skips = SKIPPED_PER_TURN
        messages: list[Message] = []
        left = BURST_BYTES
        try:
            while len(messages) < count and left > 0:
                message = self._skip() or self._receive_one(max_frames, asks_users)
                if message is None:
                    break
                messages.append(message)
                left -= sum(map(len, message.frames))
        except zmq.Again:
            return messages, False
        return messages, True

    def _receive_one(self, max_frames: int, asks_users: bool) -> Message | None:
        recv = self._base.recv
        if self._overlong is not None:
            return None
        # A routing id is never the last frame, and comes from the socket itself.
        frames = [recv(_NOBLOCK)] if self._routed else []
        frame = recv(_NOBLOCK, False)
        frames.append(frame.bytes)
        # By message: a peer may choose its routing id, and one connection gets that of
        # another that has ended.
        user = user_of(frame) if asks_users else ""
        while frame.more:
            if len(frames) >= max_frames:
                self._overlong = Message(frames, True, user)
                return self._skip()
            # The rest of a message is there as soon as its first frame is.
            frame = recv(_NOBLOCK, False)
            frames.append(frame.bytes)
        return Message(frames, False, user)

    def _skip(self) -> Message | None:
        """Throw surplus frames away; return their message once its last one is reached."""
        recv = self._base.recv
        while self._overlong is not None and self._skips > 0:
            self._skips -= 1
            if not recv(_NOBLOCK, False).more:
                message, self._overlong = self._overlong, None
                return message
        return None

    def send(self, frames: Sequence[bytes]) -> Sent:
        """Send a message whole, or not at all."""
        self._open()
        try:
            return DONE if send_whole(self._base.send, frames) else FULL
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                return GONE
            raise

    def send_all(self, messages: Sequence[Sequence[bytes]]) -> list[Sent]:
        """Send each message whole or not at all; one peer's messages keep their order."""
        full: set[bytes] = set()
        outcomes: list[Sent] = []
        for frames in messages:
            peer = frames[0] if self._routed else b""
            sent = FULL if peer in full else self.send(frames)
            if sent is FULL:
                full.add(peer)
            outcomes.append(sent)
        return outcomes

    def pending(self) -> bool:
        """Say whether there is something to receive."""
        self._open()
        return bool(self._base.get(_EVENTS) & _POLLIN)

    def look(self) -> tuple[bool, bool]:
        """Say what :meth:`pending` does, and whether a message could be sent to somebody."""
        self._open()
        events = self._base.get(_EVENTS)
        return bool(events & _POLLIN), bool(events & _POLLOUT)

    def close(self) -> None:
        """Use the socket no more; it is not closed by this."""
        self._base = None
        self._overlong = None

    def _open(self) -> None:
        if self._base is None:
            raise zmq.ZMQError(errno.ENOTSOCK)


def user_of(frame: Any) -> str:
    """Return the ZAP user id of the connection that ``frame`` came by; empty if it has none.

    Where ZAP was not asked, the peer itself may have said anything.
    """
    try:
        user: str = frame.get("User-Id")
    except (zmq.ZMQError, UnicodeDecodeError):
        return ""
    return user
