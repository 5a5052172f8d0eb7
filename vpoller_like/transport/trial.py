"""Trying an endpoint, without keeping it."""

from __future__ import annotations

import zmq

from vpoller_like.transport.binding import bind
from vpoller_like.transport.context import new_context


def try_bind(endpoint: str, *, guarded: bool) -> None:
    """Bind ``endpoint``, of TCP, as a broker does, and let go of it.

    ``guarded`` says that the broker would ask for keys there. Raises ``ConfigError`` as a
    broker would.
    """
    context = new_context()
    socket = context.socket(zmq.ROUTER)
    socket.set(zmq.LINGER, 0)
    try:
        bind(socket, endpoint, guarded=guarded).release()
    finally:
        socket.close()
        context.term()
