"""How many peers a bound socket has, and whether one has just gone."""

from __future__ import annotations

import zmq
from zmq.utils.monitor import recv_monitor_message

from vpoller_like.transport.port import Port

_ACCEPTED = zmq.EVENT_ACCEPTED
_JOINED = zmq.EVENT_HANDSHAKE_SUCCEEDED
_LEFT = zmq.EVENT_DISCONNECTED


class PeerMonitor:
    """Follows the connections of one port by its socket's monitor events.

    A handshake's event does not say whose it was (zmq_socket_monitor(3): its value is
    unspecified), so that a connection that ends while another one still shakes hands is
    taken for one that had not joined. Where none does, the number is exact.
    """

    def __init__(self, port: Port) -> None:
        self._port = port
        #: File descriptors; one is used anew only after it was reported as disconnected.
        self._accepted: set[int] = set()
        #: How many are connected, their handshake done.
        self.peers = 0
        address = f"inproc://peers-of-{int(port.socket.getsockopt(zmq.FD))}"
        port.socket.monitor(address, _ACCEPTED | _JOINED | _LEFT)
        self.socket: zmq.Socket[bytes] = port.socket.context.socket(zmq.PAIR)
        # libzmq's I/O thread waits where there is no room for an event, and all connections
        # of the process with it.
        self.socket.set(zmq.RCVHWM, 0)
        self.socket.connect(address)

    def read(self) -> bool:
        """Take in all events there are; return whether a peer has left."""
        left = False
        while self.socket.poll(0):
            event = recv_monitor_message(self.socket, zmq.NOBLOCK)
            self._count(event["event"], event["value"])
            left = left or event["event"] == _LEFT
        return left

    def _count(self, event: int, value: int) -> None:
        if event == _ACCEPTED:
            self._accepted.add(value)
        elif event == _JOINED:
            self.peers += 1
        else:
            self._accepted.discard(value)
        self.peers = min(self.peers, len(self._accepted))

    def close(self) -> None:
        """Stop monitoring."""
        self._port.socket.disable_monitor()
        self.socket.close(0)
