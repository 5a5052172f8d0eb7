"""vPoller's programs on the new code, as processes, started by one INI file."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from subprocess import DEVNULL, run
from typing import Any

import msgspec

from tests.support.fabric import ROOT, Running, eventually, free_endpoints, no_settings
from tests.support.inifile import LOCAL
from tests.support.req import ask

VPOLLER = "vpoller_like.cli"
UPSTREAM = f"{VPOLLER}.upstream"


class Ran(msgspec.Struct, frozen=True):
    """What a program left."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


class Site:
    """A proxy and a worker that are started as vPoller's were, by one INI file in ``place``.

    ``worker`` is more of the file, for its section of that name; ``env`` more of the
    environment.
    """

    def __init__(self, place: Path, worker: str = "", env: Mapping[str, str] | None = None) -> None:
        self.place = place
        self.frontend, self.backend, self.mgmt, plain = free_endpoints(4)
        self.file = place / "vpoller.conf"
        text = LOCAL.format(frontend=self.frontend, backend=self.backend, mgmt=self.mgmt)
        self.file.write_text(text + worker)
        self.env = no_settings() | {
            "PYTHONPATH": str(ROOT),
            "XDG_CONFIG_HOME": str(place),
            "VPOLLER_BROKER_PLAIN": plain,
            "VPOLLER_BROKER_GRACE_MS": "100",
            "VPOLLER_WORKER_NAME": "old-node",
            **(env or {}),
        }
        self._running: list[Running] = []

    def start(self, name: str, *options: str) -> Running:
        """Start ``vpoller-NAME`` with the INI file."""
        words = [*options, "-f", str(self.file), "start"]
        program = ("-m", f"{UPSTREAM}.{name}")
        started = Running(name, words, self.env, self.place, program, more=("-d",))
        self._running.append(started)
        return started

    def start_both(self) -> tuple[Running, Running]:
        """Start proxy and worker; return when the one knows the other."""
        proxy, worker = self.start("proxy"), self.start("worker", "-c", "1")
        eventually(self._workers, "the worker is registered")
        return proxy, worker

    def run(self, name: str, *words: str) -> Ran:
        """Run ``vpoller-NAME`` to its end."""
        return self._run(f"{UPSTREAM}.{name}", *words)

    def vpoller(self, *words: str) -> Ran:
        """Run ``vpoller`` to its end."""
        return self._run(VPOLLER, *words)

    def ask(self, *words: str) -> Ran:
        """Run ``vpoller-client`` on the proxy."""
        return self.run("client", "-e", self.frontend, *words)

    def _workers(self) -> Any:
        return ask(self.mgmt, {"method": "workers"})["result"]

    def _run(self, module: str, *words: str) -> Ran:
        command = [sys.executable, "-m", module, *words]
        done = run(
            command, env=self.env, cwd=self.place, stdin=DEVNULL, capture_output=True, timeout=60
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def end(self) -> None:
        """End what was started; fail where SIGTERM is not enough."""
        for running in reversed(self._running):
            assert running.end(), running.log.read_text()
