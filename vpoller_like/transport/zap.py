"""ZAP (ZeroMQ RFC 27): libzmq asks here, in this process, who may connect."""

from __future__ import annotations

from typing import NamedTuple

import zmq
from zmq.utils import z85

from vpoller_like.transport.port import Port, Sent

_ENDPOINT = "inproc://zeromq.zap.01"
_VERSION = b"1.0"
# The asker, an empty frame, version, request id, domain, address, identity, mechanism.
_HEAD_FRAMES = 8
_KEY_BYTES = 32


class Knock(NamedTuple):
    """Somebody wants to connect.

    ``domain`` is the door's; ``public_key`` (Z85) is empty without CURVE.
    """

    domain: str
    address: str
    mechanism: str
    public_key: str
    asker: bytes
    number: bytes


class Zap:
    """The desk that libzmq asks; to be opened before the first door that asks is bound."""

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        socket = context.socket(zmq.ROUTER)
        socket.set(zmq.LINGER, 0)
        socket.bind(_ENDPOINT)
        self.port = Port(socket)

    def knocks(self, ready: bool) -> list[Knock]:
        """Return who wants to connect, each to be answered; ``ready`` as for a port."""
        messages = self.port.receive(ready)
        return [_knock(message.frames) for message in messages if _is_request(message.frames)]

    def answer(self, knock: Knock, user: str | None) -> bool:
        """Let them in as ``user``, or not; return whether libzmq has taken it."""
        status, text = (b"400", b"not authorised") if user is None else (b"200", b"")
        name = (user or "").encode()
        frames = (knock.asker, b"", _VERSION, knock.number, status, text, name, b"")
        return self.port.send(frames) is Sent.DONE

    def close(self) -> None:
        """Stop answering; nobody new gets in."""
        self.port.close()


def _is_request(frames: list[bytes]) -> bool:
    return len(frames) >= _HEAD_FRAMES and frames[2] == _VERSION


def _knock(frames: list[bytes]) -> Knock:
    asker, _, _, number, domain, address, _, mechanism, *shown = frames
    key = z85.encode(shown[0]).decode() if shown and len(shown[0]) == _KEY_BYTES else ""
    return Knock(
        domain.decode("ascii", "replace"),
        address.decode("ascii", "replace"),
        mechanism.decode("ascii", "replace"),
        key if mechanism == b"CURVE" else "",
        asker,
        number,
    )
