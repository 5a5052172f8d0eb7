"""Waiting for sockets and file descriptors."""

from __future__ import annotations

from typing import Any

import zmq
import zmq.backend

from vpoller_like.transport.port import Port

_POLLIN = int(zmq.POLLIN)


class Poll:
    """A fixed set of things to wait for; cheaper per call than ``zmq.Poller``."""

    def __init__(self) -> None:
        self._watched: list[tuple[Any, int]] = []

    def watch(self, source: Port | zmq.Socket[bytes] | int) -> None:
        """Also wait for this port, socket or file descriptor to become readable."""
        item = source.socket if isinstance(source, Port) else source
        self._watched.append((item, _POLLIN))

    def wait(self, timeout: float) -> set[Any]:
        """Return the sockets and descriptors that are readable.

        Waits at most ``timeout`` seconds. A signal's Python handler runs before this
        returns, which it then does early.
        """
        milliseconds = max(0, int(timeout * 1000 + 0.999))
        try:
            ready = zmq.backend.zmq_poll(self._watched, milliseconds)
        except InterruptedError:
            return set()
        return {source for source, _ in ready}
