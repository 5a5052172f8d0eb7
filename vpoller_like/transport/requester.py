"""The asking side's sockets: one DEALER for each conversation, and a pool of idle ones.

A DEALER with one endpoint and IMMEDIATE set can be written to only while its peer is
there. So "not connected yet" and "the broker has just gone" are both visible without
waiting for a time-out, which a REQ socket cannot do. Each request carries a token in front
of the delimiter; brokers echo it, and a reply is known by it.
"""

from __future__ import annotations

import select
import struct
import threading
from typing import Any, NamedTuple

import zmq
import zmq.backend

from vpoller_like.clock import poll_milliseconds
from vpoller_like.errors import ConfigError, Unreachable
from vpoller_like.transport import burst
from vpoller_like.transport.context import asking_context
from vpoller_like.transport.curve import Credentials
from vpoller_like.transport.handshake import Handshakes
from vpoller_like.transport.message import DONE
from vpoller_like.transport.signals import held

_FD = int(zmq.FD)
_IPV6 = int(zmq.IPV6)

#: Without a limit on what may be queued, "cannot be written" means "not connected". The
#: client's window is the limit.
_OPTIONS = {
    int(zmq.LINGER): 0,
    int(zmq.IMMEDIATE): 1,
    int(zmq.SNDHWM): 0,
    int(zmq.HANDSHAKE_IVL): 2000,
    int(zmq.TCP_KEEPALIVE): 1,
}

_REPLY_FRAMES = 3
#: Messages that are read at once, one time after the other, in one :meth:`Channel.receive`. It
#: ends: a broker that floods its clients does not keep them from their deadlines.
_COUNTS = (1, 2, 4, 8, 16, 32, *[64] * 16)
#: Messages that are read, and answer something else, in one :meth:`Channel.reply_to`.
_STRAYS = 64
_token = struct.Struct(">I").pack

_CLOSED = "the client is closed; make a new one"

#: Idle connections kept for one endpoint; more calls at once than this open new ones.
MAX_IDLE = 32


class Reply(NamedTuple):
    """A reply's body, and the token of the request that it answers."""

    token: bytes
    body: bytes


class Channel:
    """One connection to one endpoint. Nothing here blocks; one thread at a time.

    ``credentials`` are what it shows the broker, where that asks for some. Raises
    ``Unreachable`` where no socket can be made for ``endpoint``.
    """

    def __init__(self, context: Any, endpoint: str, credentials: Credentials | None = None) -> None:
        #: Whether the broker was there when :meth:`receive` looked last.
        self.connected = False
        #: Why the broker does not let this client in; it never will by this channel.
        self.refusal = ""
        #: What keeps the connection from being made, as far as that can be told.
        self.hint = ""
        #: The last :meth:`receive` stopped before it found nothing more.
        self.has_more = False
        self._count = 0
        self._handshakes: Handshakes | None = None
        # The base socket: pyzmq's own costs more per frame, and complains when a forked
        # child drops what it may not close.
        self._socket: Any = None
        self._burst: Any = None
        self._poll: Any = None
        try:
            self._socket = zmq.backend.Socket(context, zmq.DEALER)
            for option, value in _OPTIONS.items():
                self._socket.set(option, value)
            # Only where it is asked for: with it, libzmq may take localhost for ::1 alone.
            self._socket.set(_IPV6, int("[" in endpoint))
            if credentials is not None:
                credentials.apply(self._socket)
            with held():
                self._handshakes = Handshakes(context, self._socket, endpoint, credentials)
                self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise Unreachable(f"{endpoint}: {error}") from error
        self._fileno: int = self._socket.get(_FD)
        self._burst = burst.open_socket(self._socket, False)

    def filenos(self) -> list[int]:
        """Return descriptors of which one becomes readable when something may have changed.

        They tell of changes only: wait for them after a :meth:`receive` that found nothing,
        with nothing done to the channel since.
        """
        if self._handshakes is None:
            return [self._fileno]
        return [self._fileno, self._handshakes.fileno()]

    def send(self, body: bytes) -> bytes | None:
        """Send a message; return its token, or ``None`` if there is no connection."""
        self._count += 1
        token = _token(self._count & 0xFFFFFFFF)
        return token if self._burst.send((token, b"", body)) is DONE else None

    def receive(self) -> list[Reply]:
        """Return the replies that have arrived, and renew :attr:`connected`."""
        replies: list[Reply] = []
        # One message at first: that nothing more is there, the look says for less.
        for count in _COUNTS:
            self.has_more = self.look()
            if not self.has_more:
                break
            messages, _ = self._burst.receive(count, _REPLY_FRAMES + 1, False)
            replies.extend(
                Reply(frames[0], frames[2])
                for frames, _, _ in messages
                if len(frames) == _REPLY_FRAMES and not frames[1]
            )
        return replies

    def reply_to(self, token: bytes) -> bytes | None:
        """Return the body of the reply to the request of this ``token``, and drop others.

        ``None`` if it has not arrived; :attr:`connected` is renewed then.
        """
        for _ in range(_STRAYS):
            messages, _ = self._burst.receive(1, _REPLY_FRAMES + 1, False)
            if messages:
                frames: list[bytes] = messages[0].frames
                if len(frames) == _REPLY_FRAMES and frames[0] == token and not frames[1]:
                    return frames[2]
                continue
            self.has_more = self.look()
            if not self.has_more:
                return None
        self.has_more = True
        return None

    def look(self) -> bool:
        """Renew :attr:`connected`, and say whether something has arrived."""
        # One look for both: a second one would swallow the descriptor's signal for a reply
        # that came after the first.
        is_readable: bool
        is_readable, self.connected = self._burst.look()
        if self._handshakes is not None:
            self._follow(self._handshakes)
        return is_readable

    def wait(self, seconds: float) -> None:
        """Return when something may have changed on a channel that was connected.

        After so many ``seconds`` at the latest; as for :meth:`filenos`, after a look that found
        nothing.
        """
        if self._poll is None:
            self._poll = select.poll()
            self._poll.register(self._fileno, select.POLLIN)
        self._poll.poll(poll_milliseconds(seconds))

    def _follow(self, handshakes: Handshakes) -> None:
        if not self.connected:
            handshakes.read()
            self.refusal, self.hint = handshakes.refusal, handshakes.hint
        if self.connected or self.refusal:
            # Once is enough: when the connection breaks, new requests get a new channel.
            self._handshakes = None
            handshakes.close()

    def close(self) -> None:
        """Close the socket at once; what is not sent yet is dropped."""
        if self._handshakes is not None:
            self._handshakes.close()
            self._handshakes = None
        if self._burst is not None:
            self._burst.close()
        if self._socket is not None:
            self._socket.close(0)


class Requester:
    """Lends out channels to ``endpoints``, and keeps those that come back clean.

    Safe from any thread; a channel belongs to who took it until it is given back. Belongs
    to the process that made it. ``credentials`` are shown to all of them.
    """

    def __init__(self, endpoints: tuple[str, ...], credentials: Credentials | None = None) -> None:
        self._endpoints = endpoints
        self._credentials = credentials
        #: The endpoint, by its index, that answered last.
        self.preferred = 0
        # One that a thread may take twice: under it the collector may run, and close a map() that
        # was given up, which gives its channels back.
        self._lock = threading.RLock()
        self._context: Any = None
        self._idle: list[list[Channel]] = [[] for _ in endpoints]
        self._lent = 0
        #: Nothing is lent any more.
        self.is_closed = False

    def take(self, endpoint: int) -> Channel:
        """Return a channel to the endpoint with this index, connected or connecting.

        Raises ``Unreachable`` where none can be opened, ``RuntimeError`` after
        :meth:`close`.
        """
        with self._lock:
            if self.is_closed:
                raise RuntimeError(_CLOSED)
            context = self._opened_context(self._endpoints[endpoint])
            channel = _live(self._idle[endpoint])
            self._lent += 1
        if channel is not None:
            return channel
        try:
            return Channel(context, self._endpoints[endpoint], self._credentials)
        except BaseException:
            self._returned()
            raise

    def take_idle(self, endpoint: int) -> Channel | None:
        """Return the channel that came back last, without a look whether it is connected still.

        ``None`` where there is none. Raises ``RuntimeError`` after :meth:`close`.
        """
        with self._lock:
            if self.is_closed:
                raise RuntimeError(_CLOSED)
            idle = self._idle[endpoint]
            if not idle:
                return None
            self._lent += 1
            return idle.pop()

    def give_back(self, endpoint: int, channel: Channel, *, clean: bool) -> None:
        """Take ``channel`` back; keep it if it is ``clean``, that is, owes no reply."""
        with self._lock:
            idle = self._idle[endpoint]
            if clean and not self.is_closed and len(idle) < MAX_IDLE:
                idle.append(channel)
                self._lent -= 1
                return
        channel.close()
        self._returned()

    def discard(self, endpoint: int) -> None:
        """Close the idle channels to an endpoint that has fallen silent."""
        with self._lock:
            idle, self._idle[endpoint] = self._idle[endpoint], []
        for channel in idle:
            channel.close()

    def close(self) -> None:
        """Close everything that is not lent; what is lent is closed when it comes back."""
        with self._lock:
            self.is_closed = True
        for endpoint in range(len(self._endpoints)):
            self.discard(endpoint)
        self._end_context()

    def _opened_context(self, endpoint: str) -> Any:
        if self._context is None:
            try:
                self._context = asking_context()
            except zmq.ZMQError as error:
                raise Unreachable(f"{endpoint}: {error}") from error
        return self._context

    def _returned(self) -> None:
        with self._lock:
            self._lent -= 1
        self._end_context()

    def _end_context(self) -> None:
        """Terminate the context once nothing uses it: with a socket open it would block."""
        with self._lock:
            if not self.is_closed or self._lent:
                return
            context, self._context = self._context, None
        if context is not None:
            context.term()


def _live(idle: list[Channel]) -> Channel | None:
    """Take the newest channel that is connected from ``idle``, closing those that are not."""
    while idle:
        channel = idle.pop()
        channel.receive()
        if channel.connected:
            return channel
        channel.close()
    return None


def require_endpoint(endpoint: object) -> str:
    """Return ``endpoint`` if a client can connect to it; raise ``ConfigError`` if not."""
    if isinstance(endpoint, str):
        scheme, _, rest = endpoint.partition("://")
        if scheme == "ipc" and rest:
            return endpoint
        host, _, port = rest.rpartition(":")
        if scheme == "tcp" and host and port.isdecimal() and 0 < int(port) < 1 << 16:
            return endpoint
    raise ConfigError(
        f"endpoint: {endpoint!r} cannot be connected to; write tcp://HOST:PORT or ipc://PATH"
    )
