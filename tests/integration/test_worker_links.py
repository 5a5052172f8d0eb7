"""A worker's connections: what a broker refuses is said once, and tried until it is let in."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from tests.support.broker import PATIENCE
from tests.support.curve import Keys
from tests.support.fabric import free_endpoints
from vpoller_like.transport.context import new_context
from vpoller_like.transport.curve import serve
from vpoller_like.transport.port import Sent
from vpoller_like.worker.links import LOOK, Links


class Sockets:
    """ROUTERs that end with the test."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._made: list[zmq.Socket[bytes]] = []

    def router(self) -> zmq.Socket[bytes]:
        socket = self._context.socket(zmq.ROUTER)
        self._made.append(socket)
        return socket

    def close(self) -> None:
        self._context.destroy(0)


@pytest.fixture
def sockets() -> Iterator[Sockets]:
    sockets = Sockets()
    yield sockets
    sockets.close()


def look_until_replaced(links: Links) -> None:
    """Look, once for each second of a time of our own."""
    now, deadline = 0.0, time.monotonic() + PATIENCE
    while not links.look(now):
        now += LOOK
        assert time.monotonic() < deadline, "the connection is not made anew"
        time.sleep(0.02)


def refusals(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return what was logged of refusals; guesses may have come before."""
    told = [record.getMessage() for record in caplog.records]
    return [line for line in told if line.startswith("the broker at")]


def bind_by(socket: zmq.Socket[bytes], endpoint: str, deadline: float) -> None:
    """Bind once the address is free: who closes a socket does not wait for its I/O thread."""
    while True:
        try:
            return socket.bind(endpoint)
        except zmq.ZMQError:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_a_connection_that_libzmq_gives_up_is_made_anew(
    sockets: Sockets, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A broker that asks for a key had the address first; libzmq alone would never come back."""
    (endpoint,) = free_endpoints(1)
    keys = Keys(tmp_path)
    other = sockets.router()
    serve(other, keys.shown_by("broker").pair)
    other.bind(endpoint)
    context = new_context()
    links = Links(context, [endpoint], None)
    try:
        with caplog.at_level(logging.ERROR):
            for _ in range(3):
                look_until_replaced(links)
        assert refusals(caplog) == [
            f"the broker at {endpoint} asks for a key (CURVE); set key and server_key, or name "
            "its endpoint that asks for none; trying again"
        ]
        other.unbind(endpoint)
        other.close(0)
        ours = sockets.router()
        now, deadline = 100.0, time.monotonic() + PATIENCE
        bind_by(ours, endpoint, deadline)
        while links.ports[0].send([b"hello"]) is not Sent.DONE:
            links.look(now)
            now += LOOK
            assert time.monotonic() < deadline, "the worker does not come back"
            time.sleep(0.02)
        assert ours.poll(round(PATIENCE * 1000))
        assert ours.recv_multipart()[1] == b"hello"
    finally:
        links.close(0)
        context.term()


def test_the_reason_is_told_again_after_a_welcome(
    sockets: Sockets, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (endpoint,) = free_endpoints(1)
    other = sockets.router()
    serve(other, Keys(tmp_path).shown_by("broker").pair)
    other.bind(endpoint)
    context = new_context()
    links = Links(context, [endpoint], None)
    try:
        look_until_replaced(links)
        links.welcomed(0)
        look_until_replaced(links)
        assert len(refusals(caplog)) == 2
    finally:
        links.close(0)
        context.term()
