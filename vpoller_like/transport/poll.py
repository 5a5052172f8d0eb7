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
        self._by_descriptor: dict[int, zmq.Socket[bytes]] = {}
        self._rare_ports: list[Port] = []

    def watch(self, source: Port | zmq.Socket[bytes] | int) -> None:
        """Also wait for this port, socket or file descriptor to become readable."""
        item = source.socket if isinstance(source, Port) else source
        self._watched.append((item, _POLLIN))

    def watch_rarely(self, source: Port | zmq.Socket[bytes]) -> None:
        """Also wait for a port or socket that is seldom readable, at a fraction of the cost.

        libzmq asks every polled socket twice per wait, with a system call each; this one's
        descriptor is polled instead. It tells of changes, not of a state (zmq_getsockopt(3),
        ZMQ_FD), and a send may swallow one: whoever watches rarely also looks at the
        source by itself now and then.
        """
        if isinstance(source, Port):
            self._rare_ports.append(source)
        socket = source.socket if isinstance(source, Port) else source
        descriptor = int(socket.getsockopt(zmq.FD))
        self._by_descriptor[descriptor] = socket
        self._watched.append((descriptor, _POLLIN))

    def rare(self) -> set[Any]:
        """Return all sockets that are watched rarely."""
        return set(self._by_descriptor.values())

    def wait(self, timeout: float) -> set[Any]:
        """Return the sockets and descriptors that are readable.

        Waits at most ``timeout`` seconds. A signal's Python handler runs before this
        returns, which it then does early.
        """
        # No descriptor tells of what a burst has left.
        left = {port.socket for port in self._rare_ports if port.has_more}
        milliseconds = 0 if left else max(0, int(timeout * 1000 + 0.999))
        try:
            ready = zmq.backend.zmq_poll(self._watched, milliseconds)
        except InterruptedError:
            return left
        return left.union(self._by_descriptor.get(source, source) for source, _ in ready)
