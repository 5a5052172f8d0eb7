"""Asking as any program with ZeroMQ can: a REQ socket, and nothing of ours.

The functions here are what the tests hold against the product, so they use none of it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import zmq

#: Seconds that a test waits for a reply which should come much sooner.
PATIENCE = 30.0


class Silence(AssertionError):
    """No reply came in time."""


class Req:
    """One REQ socket at ``endpoint``: ``send``, then ``receive``."""

    def __init__(self, endpoint: str) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)

    def send(self, message: dict[str, Any] | bytes) -> None:
        """Send a request: an object, or any bytes as they are."""
        self._socket.send(message if isinstance(message, bytes) else json.dumps(message).encode())

    def arrived(self, timeout: float = 0.0) -> bool:
        """Say whether a reply is there, or comes within ``timeout`` seconds."""
        return bool(self._socket.poll(round(timeout * 1000)))

    def receive_bytes(self, timeout: float = PATIENCE) -> bytes:
        """Return the reply as it came; raise ``Silence`` after ``timeout`` seconds."""
        if not self.arrived(timeout):
            raise Silence(f"no reply within {timeout:g} s")
        reply: bytes = self._socket.recv()
        return reply

    def receive(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """Return the reply's envelope; raise ``Silence`` after ``timeout`` seconds."""
        reply: dict[str, Any] = json.loads(self.receive_bytes(timeout))
        return reply

    def close(self) -> None:
        """Close the socket; what is unsent is dropped."""
        self._socket.close(0)

    def __enter__(self) -> Req:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Dealer:
    """One DEALER socket at ``endpoint``, for many requests at once from one client."""

    def __init__(self, endpoint: str) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.set_hwm(0)
        self._socket.connect(endpoint)

    def send(self, number: int, message: dict[str, Any] | bytes) -> None:
        """Send a request, to be told by ``number``."""
        body = message if isinstance(message, bytes) else json.dumps(message).encode()
        self._socket.send_multipart([b"%d" % number, b"", body])

    def receive(self, timeout: float = PATIENCE) -> tuple[int, dict[str, Any]]:
        """Return the next reply and its request's number; raise ``Silence``."""
        if not self._socket.poll(round(timeout * 1000)):
            raise Silence(f"no reply within {timeout:g} s")
        number, _, body = self._socket.recv_multipart()
        return int(number), json.loads(body)

    def ask_all(
        self, messages: Sequence[dict[str, Any]], timeout: float = PATIENCE
    ) -> list[dict[str, Any]]:
        """Send all requests at once and return their replies in order."""
        for number, message in enumerate(messages):
            self.send(number, message)
        replies = dict(self.receive(timeout) for _ in messages)
        return [replies[number] for number in range(len(messages))]

    def close(self) -> None:
        """Close the socket; what is unsent is dropped."""
        self._socket.close(0)

    def __enter__(self) -> Dealer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ask(
    endpoint: str, message: dict[str, Any] | bytes, timeout: float = PATIENCE
) -> dict[str, Any]:
    """Send one request and return the reply's envelope."""
    with Req(endpoint) as req:
        req.send(message)
        return req.receive(timeout)


def ask_all(
    endpoint: str, messages: list[dict[str, Any]], timeout: float = PATIENCE
) -> list[dict[str, Any]]:
    """Send all requests at once, each from a socket of its own; return the replies in order."""
    reqs = [Req(endpoint) for _ in messages]
    try:
        for req, message in zip(reqs, messages, strict=True):
            req.send(message)
        return [req.receive(timeout) for req in reqs]
    finally:
        for req in reqs:
            req.close()
