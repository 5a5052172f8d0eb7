"""A broker and two worker processes, on free ports of this machine, and their end."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vpoller_like.cli.child import Child
from vpoller_like.client import VPollerClient
from vpoller_like.errors import VPollerError

DOORS = ("frontend", "backend", "plain", "admin")
#: Seconds for something to happen.
PATIENCE = 30.0


class NotHappened(Exception):
    """Something was waited for in vain, or is not as it should be."""


def eventually(holds: Callable[[], bool], what: str) -> None:
    """Return when ``holds``; raise ``NotHappened`` after ``PATIENCE``."""
    deadline = time.monotonic() + PATIENCE
    while not holds():
        if time.monotonic() > deadline:
            raise NotHappened(f"not within {PATIENCE:g} s: {what}")
        time.sleep(0.05)


class Fabric:
    """Everything that answers: ``with Fabric() as fabric: ...``."""

    def __init__(self, agents: str = "system", settings: Path | None = None) -> None:
        #: The workers' agents, and a file with what these need to know.
        self._agents = agents
        self._settings = [] if settings is None else ["--config", str(settings)]
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - read after the end, too
        self._children: list[Child] = []
        #: Every process that was ever part of it, to look for at the end.
        self.pids: set[int] = set()
        self.endpoints: dict[str, str] = {}

    def __enter__(self) -> Fabric:
        try:
            self._start_broker()
            self._start_workers()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def log(self) -> str:
        """Return what the processes have said."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")

    def look(self, question: str) -> Any:
        """Ask the broker's admin endpoint."""
        with VPollerClient(self.endpoints["admin"], timeout=1000, retries=1) as client:
            return client.call(question)

    def left(self) -> set[int]:
        """Return those of its processes that still are."""
        return {pid for pid in self.pids if Path(f"/proc/{pid}").exists()}

    def served(self) -> list[str]:
        """Return those of its endpoints at which something listens."""
        return [endpoint for endpoint in self.endpoints.values() if _listens(endpoint)]

    def _start_broker(self) -> None:
        # Another program may take a port between our look at it and the broker's bind.
        for _ in range(5):
            self.endpoints = dict(zip(DOORS, free_endpoints(len(DOORS)), strict=True))
            options = [word for door in DOORS for word in (f"--{door}", self.endpoints[door])]
            broker = self._start("broker", ["broker", "run", *options])
            if self._comes_up(broker):
                return
            self._children.remove(broker)
        raise NotHappened("no broker could be started")

    def _comes_up(self, broker: Child) -> bool:
        eventually(lambda: broker.exit_code is not None or self._is_up(broker), "the broker is up")
        return broker.exit_code is None

    def _start_workers(self) -> None:
        options = ["--agents", self._agents, "--processes", "2", "--threads", "4"]
        run = [*self._settings, "worker", "run", "--backend", self.endpoints["backend"]]
        self._start("worker", [*run, *options])
        eventually(lambda: len(self._serving()) == 2, "two worker processes are registered")
        self.pids |= self._serving()

    def _serving(self) -> set[int]:
        """Return the ids of the processes that are registered, by however many hosts."""
        return {worker["pid"] for worker in self.look("workers")}

    def _start(self, name: str, arguments: list[str]) -> Child:
        child = Child(name, arguments, self._log)
        self._children.append(child)
        self.pids.add(child.pid)
        return child

    def _is_up(self, broker: Child) -> bool:
        try:
            return bool(self.look("status")["pid"] == broker.pid)
        except VPollerError:
            return False

    def _end(self) -> None:
        # The worker first: what it runs can still be answered then.
        for child in reversed(self._children):
            child.end()


def free_endpoints(count: int) -> list[str]:
    """Return endpoints on ports that are free now, all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    try:
        return [f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _listens(endpoint: str) -> bool:
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def command_of(pid: int) -> str:
    """Return a process's command line as /proc has it; empty where there is none."""
    try:
        return os.fsdecode(Path(f"/proc/{pid}/cmdline").read_bytes()).replace("\0", " ").strip()
    except OSError:
        return ""
