"""Keys for tests, and sockets that show them as a program in any language would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import zmq

from tests.support.broker import receive
from vpoller_like.authorized import Authorized, AuthorizedList, Role
from vpoller_like.keys import KeyDirectory
from vpoller_like.transport.curve import Credentials, new_pair, pair_of


class Keys(KeyDirectory):
    """A directory with a broker's key, called ``broker``."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.authorized = AuthorizedList(self.path)
        self.make("broker")

    def make(self, name: str) -> str:
        """Make a key; return its name."""
        pair = new_pair()
        self.write(name, pair.public, pair.secret)
        return name

    def add(self, name: str, role: Role = "caller", *methods: str) -> str:
        """Make a key if there is none, and authorise it; return its name."""
        if name not in self.names():
            self.make(name)
        self.authorized.add(Authorized(name, self.public(name), role, methods or ("*",)))
        return name

    def shown_by(self, name: str, server: str = "broker") -> Credentials:
        """Return what a socket with this key shows."""
        return Credentials(pair_of(self.secret(name)), self.public(server))

    def as_arguments(self, name: str) -> dict[str, str]:
        """Return a client's arguments for this key."""
        return {"key": name, "server_key": "broker", "keys": self.path}


def raw_ask(
    context: zmq.Context[zmq.Socket[bytes]],
    endpoint: str,
    credentials: Credentials | None,
    message: dict[str, Any],
) -> dict[str, Any]:
    """Ask by a REQ socket with nothing of ours but the words of the options."""
    with context.socket(zmq.REQ) as socket:
        socket.linger = 0
        if credentials is not None:
            socket.curve_publickey = credentials.pair.public.encode()
            socket.curve_secretkey = credentials.pair.secret.encode()
            socket.curve_serverkey = credentials.server.encode()
        socket.connect(endpoint)
        socket.send(json.dumps(message).encode())
        reply: dict[str, Any] = json.loads(receive(socket)[0])
        return reply
