"""The sockets of the fabric, with the options that each needs.

Why these values: a ROUTER is MANDATORY so that a vanished peer is an error and not
silence; RCVHWM is low because the limit counts messages, not bytes; the handshake has
2 s, so that half-open peers do not pile up; DEALERs connect with IMMEDIATE, so that
nothing is queued for a peer that is not there.
"""

from __future__ import annotations

from typing import NamedTuple

import zmq

from vpoller_like.protocol.limits import (
    FRAME_ROOM,
    MAX_BODY,
    MAX_FRAME,
    MAX_REPLY,
    MAX_REQUEST,
)
from vpoller_like.transport.binding import STAY_LOCAL, USE_CURVE, Binding, bind
from vpoller_like.transport.curve import Credentials, Pair, serve, serve_plainly
from vpoller_like.transport.handshake import Handshakes
from vpoller_like.transport.port import Port
from vpoller_like.transport.signals import held

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


#: Requests that libzmq reads of one client before the broker does. With 50 it stops and goes on
#: reading for each couple of dozens that the broker takes, which costs a client with a thousand
#: under way a fifth of its requests per second.
_UNREAD_REQUESTS = 100
#: Replies that libzmq holds for one client. It counts them and not their bytes: more wait in
#: an outbox, which does. It is room for those of one turn of the broker's loop.
_UNREAD_REPLIES = 512


class Guard(NamedTuple):
    """What a door that asks who comes needs: its name for ZAP, and the broker's own key.

    Without a key it neither encrypts nor asks for one, but who comes in there is named by
    ZAP alone: where nobody is asked, a peer may say in its own metadata who it is.
    """

    door: str
    pair: Pair | None


def frontend(
    context: Context,
    endpoint: str,
    guard: Guard | None = None,
    *,
    max_request: int = MAX_REQUEST,
) -> tuple[Port, Binding]:
    """Bind the ROUTER that clients ask; ``max_request`` is the largest body, in bytes."""
    options: Options = {
        **_ROUTER,
        **_SLOW_PROBES,
        zmq.MAXMSGSIZE: max(MAX_FRAME, max_request + FRAME_ROOM),
        zmq.RCVHWM: _UNREAD_REQUESTS,
        zmq.SNDHWM: _UNREAD_REPLIES,
    }
    return _bound(context, zmq.ROUTER, endpoint, options, USE_CURVE, guard)


def open_frontend(port: Port, endpoint: str) -> Binding:
    """Bind the frontend's ``port`` once more, for clients that cannot do CURVE.

    ZAP is asked about their addresses, by the name ``open_frontend``.
    """
    # Options hold for what is bound after them: the frontend's own door stays as it is.
    serve_plainly(port.socket)
    _ask_zap(port.socket, "open_frontend")
    port.asks_users = True
    return bind(port.socket, endpoint, guarded=True)


def backend(
    context: Context, endpoint: str, guard: Guard | None = None, *, max_reply: int = MAX_REPLY
) -> tuple[Port, Binding]:
    """Bind the ROUTER that workers register at; ``max_reply`` is the largest body, in bytes."""
    options: Options = {**_ROUTER, **_QUICK_PROBES, zmq.MAXMSGSIZE: max_reply + FRAME_ROOM}
    return _bound(context, zmq.ROUTER, endpoint, options, USE_CURVE, guard)


def plain_backend(
    context: Context, endpoint: str, *, max_reply: int = MAX_REPLY
) -> tuple[Port, Binding]:
    """Bind the DEALER that plain REP workers connect to.

    What waits in a worker's pipe cannot be given to another one, so SNDHWM is low; with 1 it
    would refuse part of a small burst before the I/O thread has looked at it.
    """
    options: Options = {
        **_QUICK_PROBES,
        zmq.MAXMSGSIZE: max_reply + FRAME_ROOM,
        zmq.SNDHWM: 100,
    }
    return _bound(context, zmq.DEALER, endpoint, options, STAY_LOCAL)


def worker_link(
    context: Context, endpoint: str, credentials: Credentials | None = None
) -> tuple[Port, Handshakes]:
    """Connect the DEALER by which a worker serves one broker; and follow its handshakes."""
    options: Options = {
        **_QUICK_PROBES,
        # A request that its broker allows, whatever that is: an answer to it is owed.
        zmq.MAXMSGSIZE: MAX_BODY + FRAME_ROOM,
        zmq.IMMEDIATE: 1,
        # The kernel asks at ever longer intervals: after a long partition, half a minute.
        zmq.CONNECT_TIMEOUT: 2000,
    }
    with held():
        socket = _socket(context, zmq.DEALER, options)
        if credentials is not None:
            credentials.apply(socket)
        handshakes = Handshakes(context, socket, endpoint, credentials, "worker")
        socket.connect(endpoint)
        return Port(socket), handshakes


def _bound(
    context: Context,
    kind: int,
    endpoint: str,
    options: Options,
    remedy: str,
    guard: Guard | None = None,
) -> tuple[Port, Binding]:
    socket = _socket(context, kind, options)
    try:
        if guard is not None:
            _ask_zap(socket, guard.door)
        pair = None if guard is None else guard.pair
        if pair is not None:
            serve(socket, pair)
        binding = bind(socket, endpoint, guarded=pair is not None, remedy=remedy)
    except BaseException:
        socket.close(0)
        raise
    port = Port(socket)
    port.asks_users = guard is not None
    return port, binding


def _ask_zap(socket: zmq.Socket[bytes], door: str) -> None:
    """Have ZAP asked about all who connect to what ``socket`` binds from now on."""
    socket.set(zmq.ZAP_DOMAIN, door.encode())


def _socket(context: Context, kind: int, options: Options) -> zmq.Socket[bytes]:
    socket = context.socket(kind)
    for option, value in {**_COMMON, **options}.items():
        socket.set(option, value)
    return socket
