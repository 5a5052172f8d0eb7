"""Why a connecting socket does not get through: what its monitor tells, in words.

libzmq tries again by itself where the other side just closes, and never after a refusal by
the broker's list of keys (event HANDSHAKE_FAILED_AUTH) or a breach of the protocol, such as
CURVE asked for and not offered (HANDSHAKE_FAILED_PROTOCOL): such a socket is of no more use,
and a new one has to be made.
"""

from __future__ import annotations

import itertools
import struct
from typing import Any

import zmq
import zmq.backend

from vpoller_like.transport.curve import Credentials

_NOBLOCK = int(zmq.NOBLOCK)
_FD = int(zmq.FD)
_PAIR = int(zmq.PAIR)
_LINGER = int(zmq.LINGER)

_NO_DETAIL = int(zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL)
_PROTOCOL = int(zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL)
_AUTH = int(zmq.EVENT_HANDSHAKE_FAILED_AUTH)
_EVENTS = _NO_DETAIL | _PROTOCOL | _AUTH
_MISMATCH = int(zmq.PROTOCOL_ERROR_ZMTP_MECHANISM_MISMATCH)

#: A single handshake also fails when its broker ends.
SEVERAL = 2

#: An event's first frame: what, and a value that says more (zmq_socket_monitor(3)).
_EVENT = struct.Struct("=HI")

_numbers = itertools.count()


class Handshakes:
    """Follows the handshakes of ``socket``; to be made before it connects to ``endpoint``.

    ``socket`` may be pyzmq's or the base one. ``credentials`` are those that it shows;
    ``role`` is what it wants to be to the broker. One thread at a time.
    """

    def __init__(
        self,
        context: Any,
        socket: Any,
        endpoint: str,
        credentials: Credentials | None,
        role: str = "caller",
    ) -> None:
        self._endpoint = endpoint
        self._credentials = credentials
        self._role = role
        #: Why the broker does not let this socket in, ever; empty while it may.
        self.refusal = ""
        #: libzmq does not try again: a new socket has to be made.
        self.is_over = False
        self._failures = 0
        self._socket = socket
        address = f"inproc://handshakes-{next(_numbers)}"
        self._monitor: Any = zmq.backend.Socket(context, _PAIR)
        try:
            self._monitor.set(_LINGER, 0)
            socket.monitor(address, _EVENTS)
            self._monitor.connect(address)
        except zmq.ZMQError:
            self.close()
            raise
        self._fileno = int(self._monitor.get(_FD))

    @property
    def hint(self) -> str:
        """What handshakes that failed looked like; empty unless several did."""
        return self._broken_off() if self._failures >= SEVERAL else ""

    def forget(self) -> None:
        """Start counting anew: a handshake has succeeded."""
        self._failures = 0

    def fileno(self) -> int:
        """Return a descriptor that becomes readable when a handshake may have failed."""
        return self._fileno

    def read(self) -> None:
        """Take in what has happened: :attr:`refusal`, :attr:`hint`, :attr:`is_over`."""
        while self._monitor is not None:
            try:
                event: bytes = self._monitor.recv(_NOBLOCK)
                self._monitor.recv(_NOBLOCK)  # the endpoint
            except zmq.Again:
                return
            self._take(event)

    def _take(self, message: bytes) -> None:
        event, value = _EVENT.unpack(message)
        self.is_over = self.is_over or event in (_AUTH, _PROTOCOL)
        if event == _AUTH:
            self.refusal = self._unauthorised()
        elif event == _PROTOCOL and value == _MISMATCH:
            self.refusal = self._mismatch()
        else:
            self._failures += SEVERAL if event == _PROTOCOL else 1

    def _unauthorised(self) -> str:
        if self._credentials is None:
            return (
                f"the broker at {self._endpoint} takes nothing without a key from this address; "
                "set key and server_key, or add the address to broker.allow_plain there"
            )
        return (
            f"the broker at {self._endpoint} does not let this key in as a {self._role}; run "
            f"`vpoller keys authorize NAME --role {self._role} --public-key "
            f"'{self._credentials.pair.public}'` there"
        )

    def _mismatch(self) -> str:
        if self._credentials is None:
            return (
                f"the broker at {self._endpoint} asks for a key (CURVE); set key and server_key, "
                "or name its endpoint that asks for none"
            )
        return (
            f"the broker at {self._endpoint} does not speak CURVE, and this side has a key; "
            "set neither key nor server_key for it, or name its endpoint that does"
        )

    def _broken_off(self) -> str:
        if self._credentials is None:
            return (
                f"what listens at {self._endpoint} ends each handshake, as a broker does that "
                "asks for a key (CURVE); set key and server_key"
            )
        return (
            f"what listens at {self._endpoint} ends each handshake, as a broker does whose key is "
            f"not the server_key '{self._credentials.server}'; compare it with the broker's .pub"
        )

    def close(self) -> None:
        """Stop following; to be called before the socket is closed."""
        if self._monitor is None:
            return
        if not self._socket.closed:
            self._socket.monitor(None, 0)
        self._monitor.close(0)
        self._monitor = None
