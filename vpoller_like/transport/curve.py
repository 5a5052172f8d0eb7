"""CURVE: the keys that a socket encrypts with and is known by."""

from __future__ import annotations

from typing import Any

import zmq

from vpoller_like.errors import ConfigError
from vpoller_like.keys import KeyDirectory

_SERVER = int(zmq.CURVE_SERVER)
_PUBLIC = int(zmq.CURVE_PUBLICKEY)
_SECRET = int(zmq.CURVE_SECRETKEY)
_SERVER_KEY = int(zmq.CURVE_SERVERKEY)


class Pair:
    """Both halves of a key, each as 40 characters of Z85; never shows the secret one."""

    __slots__ = ("public", "secret")

    def __init__(self, public: str, secret: str) -> None:
        self.public = public
        self.secret = secret

    def __repr__(self) -> str:
        return f"Pair(public={self.public!r})"


class Credentials:
    """What a connecting socket shows: its own key, and whom it takes for a broker."""

    __slots__ = ("pair", "server")

    def __init__(self, pair: Pair, server: str) -> None:
        self.pair = pair
        self.server = server

    def __repr__(self) -> str:
        return f"Credentials({self.pair!r}, server={self.server!r})"

    def apply(self, socket: Any) -> None:
        """Let ``socket`` (pyzmq's, or the base one) speak CURVE when it connects."""
        socket.set(_PUBLIC, self.pair.public.encode())
        socket.set(_SECRET, self.pair.secret.encode())
        socket.set(_SERVER_KEY, self.server.encode())


def new_pair() -> Pair:
    """Return a new key, from the system's random generator."""
    _require_curve()
    public, secret = zmq.curve_keypair()
    return Pair(public.decode(), secret.decode())


def pair_of(secret: str) -> Pair:
    """Return the key whose secret half this is; raise ``ConfigError`` where it is none."""
    _require_curve()
    try:
        return Pair(zmq.curve_public(secret.encode()).decode(), secret)
    except (zmq.ZMQError, ValueError):
        # Without the cause, which may quote what is a secret.
        raise ConfigError("the secret half of the key is not written in Z85") from None


def serve(socket: Any, pair: Pair) -> None:
    """Let what ``socket`` binds from now on speak CURVE alone."""
    socket.set(_SERVER, 1)
    socket.set(_SECRET, pair.secret.encode())


def serve_plainly(socket: Any) -> None:
    """Let what ``socket`` binds from now on speak without CURVE."""
    socket.set(_SERVER, 0)


def credentials(
    keys: KeyDirectory, key: str, server_key: str, section: str = ""
) -> Credentials | None:
    """Return what to show a broker; ``None`` where neither key is given.

    ``key`` and ``server_key`` are as in the settings. Raises ``ConfigError`` where one of
    them is missing or cannot be read; ``section`` tells where they were set.
    """
    if not key and not server_key:
        return None
    given, missing = ("key", "server_key") if key else ("server_key", "key")
    if not (key and server_key):
        purpose = "to know the broker by" if key else "to be known by"
        raise ConfigError(
            f"{section}{given} is set and {section}{missing} is not: CURVE also needs a key "
            f"{purpose}; set {section}{missing}, or neither"
        )
    return Credentials(pair_of(keys.secret(key)), keys.public(server_key))


def _require_curve() -> None:
    if not zmq.has("curve"):
        raise ConfigError(
            "this libzmq was built without CURVE; install pyzmq from its wheels, which have it"
        )
