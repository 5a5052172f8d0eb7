"""Binding an endpoint: to loopback or to a path that nobody else holds."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import stat

import zmq

from vpoller_like.errors import ConfigError


class Binding:
    """A bound endpoint. ``endpoint`` has the port that was chosen for ``tcp://…:0``."""

    def __init__(self, endpoint: str, lock: int | None = None) -> None:
        self.endpoint = endpoint
        self._lock = lock

    def release(self) -> None:
        """Let go of an ipc path's lock; call it after the socket is closed."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def __enter__(self) -> Binding:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


#: What mends a door that others could reach.
USE_CURVE = (
    "run `vpoller keys new broker`, and `vpoller keys authorize NAME --public-key KEY` for each "
    'who may use it, and set broker.key = "broker"; or bind 127.0.0.1'
)
STAY_LOCAL = "bind 127.0.0.1 and reach it through a tunnel"


def bind(
    socket: zmq.Socket[bytes], endpoint: str, *, guarded: bool = False, remedy: str = STAY_LOCAL
) -> Binding:
    """Bind ``socket``; raise ``ConfigError`` where that is impossible or unsafe.

    ``guarded`` says that the socket asks who connects. One that does not may be bound
    where nobody else reaches it alone; ``remedy`` says what else could be done.
    """
    lock = None
    if endpoint.startswith("tcp://"):
        require_port(endpoint)
        if not guarded:
            _require_loopback(endpoint, remedy)
    elif endpoint.startswith("ipc://"):
        _require_path(endpoint)
        lock = _lock_path(endpoint.removeprefix("ipc://"))
    try:
        socket.bind(endpoint)
    except zmq.ZMQError as error:
        if lock is not None:
            os.close(lock)
        raise ConfigError(f"cannot bind {endpoint}: {_reason(error)}") from error
    return Binding(socket.get_string(zmq.LAST_ENDPOINT), lock)


def _reason(error: zmq.ZMQError) -> str:
    if error.errno == zmq.EADDRINUSE:
        return "the address is in use; end the program that holds it or choose another port"
    return str(error)


def require_port(endpoint: str) -> None:
    """Raise ``ConfigError`` for a TCP endpoint without one: libzmq would bind 99999 as 34463."""
    _, colon, port = endpoint.removeprefix("tcp://").rpartition(":")
    if not colon or not (port == "*" or (port.isdecimal() and int(port) < 1 << 16)):
        raise ConfigError(
            f"cannot bind {endpoint}: it needs a port from 1 to 65535 at its end, or * for any"
        )


def _require_path(endpoint: str) -> None:
    if endpoint.startswith("ipc://@"):
        raise ConfigError(
            f"cannot bind {endpoint}: a name that begins with @ is in no directory, and every "
            "user of this machine could connect; give a path"
        )


def is_local(endpoint: str) -> bool:
    """Say whether only programs on this machine reach what is bound to ``endpoint``."""
    if not endpoint.startswith("tcp://"):
        return True
    host = endpoint.removeprefix("tcp://").rpartition(":")[0].strip("[]")
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _require_loopback(endpoint: str, remedy: str) -> None:
    if not is_local(endpoint):
        raise ConfigError(
            f"{endpoint} is not a loopback address, and this endpoint neither encrypts nor asks "
            f"who calls; {remedy}"
        )


def _lock_path(path: str) -> int:
    """Lock ``path`` before it is bound: a second bind would silently steal it."""
    try:
        _require_private(os.path.dirname(path) or ".")
        lock = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(f"cannot bind ipc://{path}: {error.strerror}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(lock)
        raise ConfigError(f"cannot bind ipc://{path}: another process holds it") from error
    if os.path.exists(path) and not stat.S_ISSOCK(os.stat(path).st_mode):
        os.close(lock)
        raise ConfigError(f"cannot bind ipc://{path}: there is a file that is not a socket")
    return lock


def _require_private(folder: str) -> None:
    os.makedirs(folder, mode=0o700, exist_ok=True)
    found = os.stat(folder)
    if found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConfigError(
            f"{folder} must belong to this user and be closed to others (chmod 700) to hold "
            "a socket"
        )
