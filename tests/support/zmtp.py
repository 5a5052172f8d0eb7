"""ZMTP by hand, on raw TCP sockets: what libzmq would never send (rfc.zeromq.org/spec/23)."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from collections.abc import Iterable

LONG = 0x02
MORE = 0x01
COMMAND = 0x04


def greeting(
    mechanism: bytes = b"NULL", major: int = 3, minor: int = 1, as_server: int = 0
) -> bytes:
    """Return the 64 bytes that begin a connection of ZMTP 3."""
    signature = b"\xff" + bytes(8) + b"\x7f"
    return signature + bytes([major, minor]) + mechanism.ljust(20, b"\0") + bytes([as_server] * 32)


def frame(body: bytes, flags: int = 0) -> bytes:
    """Return one frame."""
    if len(body) < 256:
        return bytes([flags, len(body)]) + body
    return bytes([flags | LONG]) + struct.pack(">Q", len(body)) + body


def message(frames: Iterable[bytes]) -> bytes:
    """Return all frames of one message."""
    parts = list(frames)
    return b"".join(
        frame(part, MORE if number < len(parts) - 1 else 0) for number, part in enumerate(parts)
    )


def command(name: bytes, data: bytes = b"") -> bytes:
    """Return a command's frame."""
    return frame(bytes([len(name)]) + name + data, COMMAND)


def ping(ttl: int = 0, context: bytes = b"") -> bytes:
    """Return ZMTP's heartbeat; ``ttl`` is in tenths of a second."""
    return command(b"PING", struct.pack(">H", ttl) + context)


def properties(*pairs: tuple[bytes, bytes]) -> bytes:
    """Return a command's metadata."""
    return b"".join(
        bytes([len(name)]) + name + struct.pack(">I", len(value)) + value for name, value in pairs
    )


def ready(kind: bytes = b"DEALER", identity: bytes = b"", *more: tuple[bytes, bytes]) -> bytes:
    """Return READY, which ends the handshake of NULL, with ``more`` metadata."""
    return command(b"READY", properties((b"Socket-Type", kind), (b"Identity", identity), *more))


def opening(kind: bytes = b"DEALER", identity: bytes = b"") -> bytes:
    """Return all that a peer says until it may send messages; it need not wait for answers."""
    return greeting() + ready(kind, identity)


def connect(endpoint: str, timeout: float = 5.0, rng: random.Random | None = None) -> socket.socket:
    """Connect to ``tcp://127.0.0.1:PORT``, from any loopback address if ``rng`` is given.

    So many connections may be closed in a row without running out of ports.
    """
    host, port = endpoint.removeprefix("tcp://").split(":")
    raw = socket.socket()
    raw.settimeout(timeout)
    with contextlib.ExitStack() as undo:
        undo.callback(raw.close)
        if rng is not None:
            raw.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
            raw.bind((f"127.{rng.randrange(1, 250)}.{rng.randrange(250)}.1", 0))
        raw.connect((host, int(port)))
        undo.pop_all()
    return raw


def reset(raw: socket.socket) -> None:
    """Close with a RST instead of a FIN."""
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    raw.close()
