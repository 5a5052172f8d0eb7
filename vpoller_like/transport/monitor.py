"""How many peers a bound socket has, and whether one has just gone."""

from __future__ import annotations

import zmq
from zmq.utils.monitor import recv_monitor_message

from vpoller_like.transport.port import Port

_JOINED = zmq.EVENT_HANDSHAKE_SUCCEEDED
_LEFT = zmq.EVENT_DISCONNECTED


class PeerMonitor:
    """Follows the connections of one port by its socket's monitor events."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._connected: set[int] = set()
        self.socket: zmq.Socket[bytes] = port.socket.get_monitor_socket(_JOINED | _LEFT)

    @property
    def peers(self) -> int:
        """The number of connected peers."""
        return len(self._connected)

    def read(self) -> bool:
        """Take in all events there are; return whether a peer has left."""
        left = False
        while self.socket.poll(0):
            event = recv_monitor_message(self.socket, zmq.NOBLOCK)
            # The value is the connection's file descriptor, which may be used anew only
            # after it was reported as disconnected.
            if event["event"] == _JOINED:
                self._connected.add(event["value"])
            else:
                self._connected.discard(event["value"])
                left = True
        return left

    def close(self) -> None:
        """Stop monitoring."""
        self._port.socket.disable_monitor()
        self.socket.close(0)
