"""The brokers that the settings name: do they answer, and what do they say of themselves."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from vpoller_like import __version__
from vpoller_like.cli.admin import ask
from vpoller_like.cli.checks.finding import Finding, Reporter
from vpoller_like.config import ClientSettings, Settings, WorkerSettings
from vpoller_like.errors import VPollerError
from vpoller_like.protocol.reply import failure_fields

report = Reporter("brokers")

#: Milliseconds that an answer may take, and seconds that a connection may.
PATIENCE = 2000
#: From here on a limit is nearly reached.
ALARM = 0.8
#: Seconds that two clocks may differ before logs are hard to read side by side.
SKEW = 2.0

Status = Mapping[str, Any]


class Asked(msgspec.Struct, frozen=True):
    """What became of a question for the broker's status. Times are the wall clock's."""

    reply: dict[str, Any]
    before: float
    after: float

    @property
    def status(self) -> Status | None:
        """The status, where there is one."""
        return self.reply.get("result") if self.reply.get("success") == 0 else None


def ask_status(client: ClientSettings) -> Asked:
    """Ask the admin endpoint for the broker's status."""
    before = time.time()
    reply = _ask(client, "status")
    return Asked(reply, before, time.time())


def check(settings: Settings, asked: Asked) -> Iterator[Finding]:
    """Look at every broker that this machine's clients and workers are to use."""
    for endpoint in settings.client.endpoints:
        yield frontend(settings.client, endpoint)
    yield from backends(settings.worker)
    yield from admin(settings.client.admin, asked)


def frontend(client: ClientSettings, endpoint: str) -> Finding:
    """Say whether clients are answered; what is asked is no request, and runs nothing."""
    reply = _ask(msgspec.structs.replace(client, admin=endpoint), "")
    error = reply.get("error") or {}
    if error.get("code") in ("bad_request", "unknown_method", "unauthorized", "shutting_down"):
        return report.ok(f"clients are answered at {endpoint}")
    return _trouble("clients", reply, "client.endpoints")


def backends(worker: WorkerSettings) -> Iterator[Finding]:
    """Say where workers could not connect; that they may register, `workers` tells."""
    for endpoint in worker.backends:
        fault = connection_fault(endpoint)
        if fault:
            text = f"workers: nothing listens at {endpoint} ({fault})"
            yield report.problem(text, _start("worker.backends"))
        else:
            yield report.ok(f"workers can connect to {endpoint}")


def connection_fault(endpoint: str) -> str:
    """Return why nobody can connect to ``endpoint``; empty if somebody can."""
    scheme, _, place = endpoint.partition("://")
    host, _, port = place.rpartition(":")
    try:
        if scheme == "ipc":
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(place)
        else:
            address = (host.strip("[]"), int(port))
            with contextlib.closing(socket.create_connection(address, PATIENCE / 1000)):
                pass
    except (OSError, ValueError, OverflowError) as error:
        return getattr(error, "strerror", None) or str(error)
    return ""


def admin(endpoint: str, asked: Asked) -> Iterator[Finding]:
    """Say what the broker that answers at the admin endpoint tells of itself."""
    status = asked.status
    if status is None:
        yield _trouble("admin", asked.reply, "client.admin")
        return
    yield version(endpoint, str(status.get("version")))
    yield served(status)
    yield from alarms(status)
    yield from skew(status, asked.before, asked.after)


def version(endpoint: str, found: str) -> Finding:
    """Judge the broker's version."""
    if found != __version__:
        text = f"the broker at {endpoint} is version {found}, and this is {__version__}"
        return report.warning(text, "upgrade the older one, brokers first")
    return report.ok(f"the broker at {endpoint} is version {found}, as this is")


def served(status: Status) -> Finding:
    """Judge whether requests can be served."""
    if status.get("draining"):
        return report.warning("the broker is draining: it takes nothing new", "start another one")
    workers, plain = status.get("workers", 0), status.get("plain_workers", 0)
    if not workers and not plain:
        return report.warning("no worker is registered", "start one: `vpoller worker run`")
    # Each process has a worker for each host that it serves.
    processes = status.get("processes", workers)
    where = f" in {processes} processes" if processes != workers else ""
    return report.ok(f"registered: {workers} workers{where}, {plain} plain workers")


def alarms(status: Status) -> Iterator[Finding]:
    """Find limits of the broker that are nearly reached."""
    limits = status.get("limits", {})
    for name, use in status.get("usage", {}).items():
        if not isinstance(use, Mapping):
            continue
        # Of files, the system may allow fewer than the setting wants.
        limit, now = use.get("allowed", limits.get(name)), use.get("now")
        # What is remembered may fill its room: the oldest goes then.
        if not limit or now is None or name.startswith("remember"):
            continue
        if now >= ALARM * limit:
            text = f"broker.{name}: {now} of {limit} are used"
            yield report.warning(text, f"add workers, slow the clients, or raise broker.{name}")


def skew(status: Status, before: float, after: float) -> Iterator[Finding]:
    """Find that the broker's wall clock differs from this machine's."""
    told = status.get("clock_s")
    if not isinstance(told, int | float):
        return
    ahead = told - after if told > after else min(0.0, told - before)
    if abs(ahead) > SKEW:
        way = "ahead of" if ahead > 0 else "behind"
        text = f"the broker's clock is {abs(ahead):.0f} s {way} this machine's"
        yield report.warning(text, "have both set by NTP; only logs and certificates need it")


def _ask(client: ClientSettings, question: str) -> dict[str, Any]:
    """Ask once, not for long; a client that cannot be made is told as a failure."""
    hasty = msgspec.structs.replace(client, timeout=min(client.timeout, PATIENCE), retries=1)
    try:
        return ask(hasty, question)
    except VPollerError as error:
        return failure_fields(error)


def _trouble(who: str, reply: Mapping[str, Any], setting: str) -> Finding:
    error = reply.get("error") or {}
    text = str(error.get("detail") or reply.get("msg"))
    if error.get("code") not in ("unreachable", "timeout"):
        return report.problem(f"{who}: {text}")  # it says itself what to do
    return report.problem(f"{who}: {text.partition('; ')[0]}", _start(setting))


def _start(setting: str) -> str:
    return f"start the broker, or correct {setting}"
