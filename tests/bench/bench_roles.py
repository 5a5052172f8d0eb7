"""What is compared with: ``bench_roles.py proxy FRONT BACK | connect, bind or usual ENDPOINT``.

``proxy`` is ``zmq.proxy`` and nothing else. ``connect`` and ``bind`` are a REP socket that echoes,
as lean as Python allows, with the JSON library that our own workers use; ``usual`` connects one
that is written as most are, with pyzmq's own ``recv_json`` and ``send_json``.
"""

from __future__ import annotations

import sys

import msgspec
import zmq


class Request(msgspec.Struct):
    """What an echo reads of a request."""

    data: str


class Reply(msgspec.Struct):
    """What it answers."""

    result: str
    success: int = 0
    msg: str = "Successfully echoed the data"


def proxy(front: str, back: str) -> None:
    """Pass messages on between a ROUTER and a DEALER, in C, for good."""
    context = zmq.Context()
    clients, workers = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
    for side in (clients, workers):
        # A ROUTER drops replies in silence once so many wait; a thousand are under way here.
        side.set_hwm(0)
    clients.bind(front)
    workers.bind(back)
    zmq.proxy(clients, workers)


def echo(how: str, endpoint: str) -> None:
    """Answer at a REP socket, for good."""
    socket = zmq.Context().socket(zmq.REP)
    socket.set_hwm(0)
    getattr(socket, how)(endpoint)
    read = msgspec.json.Decoder(Request).decode
    write = msgspec.json.Encoder().encode
    while True:
        socket.send(write(Reply(read(socket.recv()).data)))


def usual(endpoint: str) -> None:
    """The same as most would write it."""
    socket = zmq.Context().socket(zmq.REP)
    socket.set_hwm(0)
    socket.connect(endpoint)
    while True:
        request = socket.recv_json()
        reply = {"success": 0, "msg": "Successfully echoed the data", "result": request["data"]}
        socket.send_json(reply)


if __name__ == "__main__":
    role, *endpoints = sys.argv[1:]
    if role == "proxy":
        proxy(*endpoints)
    elif role == "usual":
        usual(*endpoints)
    else:
        echo(role, *endpoints)
