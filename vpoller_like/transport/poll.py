"""Waiting for sockets and file descriptors."""

from __future__ import annotations

import select
from typing import Any

import zmq

from vpoller_like.clock import poll_milliseconds
from vpoller_like.transport.compiled import compiled
from vpoller_like.transport.port import Port


@compiled
class Poll:
    """A fixed set of things to wait for.

    libzmq's own poll asks each socket twice per wait, with a system call each. Here their
    descriptors are polled, which tell of changes and not of a state (zmq_getsockopt(3),
    ZMQ_FD); so a port says by itself whether something is left (:meth:`.Port.pending`), which
    costs nothing where it has not been used since it was found empty.
    """

    def __init__(self) -> None:
        self._poller = select.poll()
        self._sources: dict[int, Any] = {}
        self._ports: list[Port] = []
        self._left_out: Port | None = None
        #: Sockets that have not been read yet: till then their descriptors tell nothing.
        self._unread: set[Any] = set()

    def watch(self, source: Port | zmq.Socket[bytes] | int) -> None:
        """Also wait for this port, socket or file descriptor to become readable.

        A socket that is no port is to be read to its end whenever it is ready, and must not
        send: either may swallow what its descriptor tells.
        """
        if isinstance(source, Port):
            self._ports.append(source)
            source = source.socket
        elif not isinstance(source, int):
            self._unread.add(source)
        descriptor = source if isinstance(source, int) else _descriptor(source)
        self._sources[descriptor] = source
        self._poller.register(descriptor, select.POLLIN)

    def wait(self, timeout: float, without: Port | None = None) -> set[Any]:
        """Return what may be readable: of ports the sockets, and sockets and descriptors.

        Waits at most ``timeout`` seconds. Signals' Python handlers run meanwhile; one that is
        to end the wait makes something here readable. What comes in by the port ``without``
        does not end it, and is found by a later wait.
        """
        if without is not self._left_out:
            self._leave_out(without)
        ready: set[Any] = set()
        for port in self._ports:
            if not port.settled and port is not without and port.pending():
                ready.add(port.socket)
        if self._unread:
            ready |= self._unread
            self._unread.clear()
        milliseconds = 0 if ready else poll_milliseconds(timeout)
        for descriptor, _ in self._poller.poll(milliseconds):
            ready.add(self._sources[descriptor])
        return ready

    def _leave_out(self, port: Port | None) -> None:
        if self._left_out is not None:
            self._poller.register(_descriptor(self._left_out.socket), select.POLLIN)
        if port is not None:
            self._poller.unregister(_descriptor(port.socket))
        self._left_out = port


def _descriptor(socket: zmq.Socket[bytes]) -> int:
    return int(socket.getsockopt(zmq.FD))
