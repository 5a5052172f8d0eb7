"""The sockets of the fabric, with the options that each needs.

Why these values: a ROUTER is MANDATORY so that a vanished peer is an error and not
silence; RCVHWM is low because the limit counts messages, not bytes; the handshake has
2 s, so that half-open peers do not pile up; DEALERs connect with IMMEDIATE, so that
nothing is queued for a peer that is not there.
"""

from __future__ import annotations

import zmq

from vpoller_like.protocol.limits import MAX_FRAME, MAX_WORKER_FRAME
from vpoller_like.transport.binding import Binding, bind
from vpoller_like.transport.port import Port

Context = zmq.Context[zmq.Socket[bytes]]
Options = dict[zmq.SocketOption, int]

_COMMON: Options = {
    zmq.LINGER: 0,
    zmq.RCVHWM: 50,
    zmq.HANDSHAKE_IVL: 2000,
    zmq.BACKLOG: 1024,
    zmq.RECONNECT_IVL: 100,
    zmq.RECONNECT_IVL_MAX: 1000,
    zmq.TCP_KEEPALIVE: 1,
}
_ROUTER: Options = {zmq.ROUTER_MANDATORY: 1, zmq.ROUTER_HANDOVER: 0}
# Why not ZMTP's heartbeats: libzmq 4.3.5 aborts the whole process when one is due on a
# connection that has closed while its messages were more than RCVHWM
# (stream_engine_base.cpp, "!_io_error"). The kernel's probes notice a cut link as soon
# (measured: 3 s, idle or sending), and that a process lives, workers and brokers tell each
# other in their own protocol.
#: Workers: a cut link is noticed within seconds.
_QUICK_PROBES: Options = {
    zmq.TCP_KEEPALIVE_IDLE: 1,
    zmq.TCP_KEEPALIVE_INTVL: 1,
    zmq.TCP_KEEPALIVE_CNT: 3,
    zmq.TCP_MAXRT: 3000,
}
#: Clients: thousands of idle ones must cost nothing.
_SLOW_PROBES: Options = {
    zmq.TCP_KEEPALIVE_IDLE: 60,
    zmq.TCP_KEEPALIVE_INTVL: 20,
    zmq.TCP_KEEPALIVE_CNT: 3,
    zmq.TCP_MAXRT: 60_000,
}


def frontend(context: Context, endpoint: str) -> tuple[Port, Binding]:
    """Bind the ROUTER that clients ask."""
    options: Options = {**_ROUTER, **_SLOW_PROBES, zmq.MAXMSGSIZE: MAX_FRAME}
    return _bound(context, zmq.ROUTER, endpoint, options)


def backend(context: Context, endpoint: str) -> tuple[Port, Binding]:
    """Bind the ROUTER that workers register at."""
    options: Options = {**_ROUTER, **_QUICK_PROBES, zmq.MAXMSGSIZE: MAX_WORKER_FRAME}
    return _bound(context, zmq.ROUTER, endpoint, options)


def plain_backend(context: Context, endpoint: str) -> tuple[Port, Binding]:
    """Bind the DEALER that plain REP workers connect to.

    What waits in a worker's pipe cannot be given to another one, so SNDHWM is low; with 1 it
    would refuse part of a small burst before the I/O thread has looked at it.
    """
    options: Options = {**_QUICK_PROBES, zmq.MAXMSGSIZE: MAX_WORKER_FRAME, zmq.SNDHWM: 100}
    return _bound(context, zmq.DEALER, endpoint, options)


def worker_link(context: Context, endpoint: str) -> Port:
    """Connect the DEALER by which a worker serves one broker."""
    options: Options = {**_QUICK_PROBES, zmq.MAXMSGSIZE: MAX_WORKER_FRAME, zmq.IMMEDIATE: 1}
    socket = _socket(context, zmq.DEALER, options)
    socket.connect(endpoint)
    return Port(socket)


def _bound(context: Context, kind: int, endpoint: str, options: Options) -> tuple[Port, Binding]:
    socket = _socket(context, kind, options)
    try:
        binding = bind(socket, endpoint)
    except BaseException:
        socket.close(0)
        raise
    return Port(socket), binding


def _socket(context: Context, kind: int, options: Options) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    for option, value in {**_COMMON, **options}.items():
        socket.set(option, value)
    return socket
