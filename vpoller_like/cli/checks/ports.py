"""The broker's doors: can they be bound, and if not, who has them."""

from __future__ import annotations

import fcntl
import os
import socket
import stat
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import psutil

from vpoller_like.cli.checks.finding import Finding, Reporter
from vpoller_like.config import BrokerSettings, Settings
from vpoller_like.errors import ConfigError
from vpoller_like.transport.trial import try_bind

report = Reporter("ports")


def check(settings: Settings, running: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Look at each door; ``running`` is the status of the broker that answers, if one does."""
    for door, endpoint in doors(settings.broker).items():
        yield look_at(door, endpoint, guarded=_asks_keys(door, settings), running=running)


def doors(broker: BrokerSettings) -> dict[str, str]:
    """Return the endpoints that a broker would bind, by door."""
    names = ("frontend", "backend", "plain", "admin", "open_frontend")
    return {name: endpoint for name in names if (endpoint := getattr(broker, name))}


def _asks_keys(door: str, settings: Settings) -> bool:
    if door == "open_frontend":
        return True  # Not for keys, but for the address: allow_plain.
    return door != "plain" and bool(settings.broker.key)


def look_at(
    door: str, endpoint: str, *, guarded: bool, running: Mapping[str, Any] | None
) -> Finding:
    """Say whether a broker could bind ``endpoint``, or has done so."""
    if running is not None and _is_among(endpoint, running.get("endpoints", {}).values()):
        return report.ok(f"{door} {endpoint} is served by the broker of pid {running['pid']}")
    if endpoint.startswith("ipc://"):
        return _look_at_path(door, endpoint.removeprefix("ipc://"))
    try:
        try_bind(endpoint, guarded=guarded)
    except ConfigError as error:
        return report.problem(f"{door}: {error.message}", _whose(endpoint))
    return report.ok(f"{door} {endpoint} is free")


def _is_among(endpoint: str, bound: Iterable[str]) -> bool:
    """Say whether ``endpoint`` is one of those in ``bound``, however its host is written."""
    places = _places(endpoint)
    return any(endpoint == other or places & _places(other) for other in bound)


def _places(endpoint: str) -> set[tuple[str, int]]:
    """Return the addresses and the port that ``endpoint`` of TCP means; none where unknown."""
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    if not endpoint.startswith("tcp://") or not port.isdecimal():
        return set()
    if host == "*":
        return {("0.0.0.0", int(port)), ("::", int(port))}
    try:
        found = socket.getaddrinfo(host.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, OverflowError):
        return set()
    return {(str(address[0]), int(port)) for *_, address in found}


def _look_at_path(door: str, path: str) -> Finding:
    """Judge a path without making anything there: what root makes, a broker cannot use."""
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        return report.ok(f"{door} {path} is free; the broker makes {folder}")
    found = os.stat(folder)
    if found.st_mode & 0o077:
        text = f"{door}: {folder} is open to others (mode {stat.S_IMODE(found.st_mode):04o})"
        return report.problem(text, f"chmod 700 {folder}")
    if found.st_uid != os.geteuid():
        text = f"{door}: {folder} belongs to user {found.st_uid}, and this is {os.geteuid()}"
        return report.warning(text, f"run the broker, and this, as user {found.st_uid}")
    if os.path.exists(path) and not stat.S_ISSOCK(os.stat(path).st_mode):
        return report.problem(f"{door}: {path} is a file and no socket", "move it away")
    if _is_locked(f"{path}.lock"):
        return report.problem(f"{door}: another process holds {path}", "choose another path")
    return report.ok(f"{door} {path} is free")


def _is_locked(path: str) -> bool:
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(file)
    return False


def _whose(endpoint: str) -> str:
    """Name who listens at the port of ``endpoint``, where that can be told."""
    port = endpoint.rpartition(":")[2]
    if not endpoint.startswith("tcp://") or not port.isdecimal():
        return ""
    try:
        listeners = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for each in listeners:
        if each.status == psutil.CONN_LISTEN and each.laddr and each.laddr[1] == int(port):
            return f"it is held by {_program(each.pid)}"
    return ""


def _program(pid: int | None) -> str:
    if pid is None:
        return "a program of another user"
    try:
        return f"{psutil.Process(pid).name()} (pid {pid})"
    except psutil.Error:
        return f"pid {pid}"
