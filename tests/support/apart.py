"""Brokers, workers and clients on networks of their own, with the keys that this takes."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec

from tests.support.fabric import ROOT, Running, logs_in, no_settings
from tests.support.kills.asker import Settings
from tests.support.kills.fleet import AGENTS
from tests.support.netns import Namespace
from vpoller_like.authorized import Authorized, AuthorizedList, Role
from vpoller_like.client import VPollerClient
from vpoller_like.keys import KeyDirectory
from vpoller_like.transport.curve import new_pair

FRONTEND, BACKEND, PLAIN = 10123, 10124, 10125
_ROLES: dict[str, Role] = {"caller": "caller", "worker": "worker", "admin": "admin"}


class Site:
    """A broker at ``address``; its admin door is a file, which is near from everywhere."""

    def __init__(self, name: str, namespace: Namespace, address: str, place: Path) -> None:
        self.name = name
        self.namespace = namespace
        self.frontend = f"tcp://{address}:{FRONTEND}"
        self.backend = f"tcp://{address}:{BACKEND}"
        self.admin = f"ipc://{place / name}.admin"
        self.plain = f"ipc://{place / name}.plain"


class Apart:
    """Starts processes in namespaces; leaving the block ends them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.keys = place / "keys"
        self._running: list[Running] = []
        self._env = self._environment()
        _make_keys(self.keys)

    def start_broker(self, site: Site) -> Running:
        """Start a broker."""
        doors = {
            "frontend": site.frontend,
            "backend": site.backend,
            "admin": site.admin,
            "plain": site.plain,
        }
        options = [word for door, value in doors.items() for word in (f"--{door}", value)]
        env = {"VPOLLER_BROKER_KEY": "broker"}
        return self._start(site.name, ["broker", "run", *options], env, site.namespace)

    def start_worker(
        self, namespace: Namespace, sites: Sequence[Site], processes: int, threads: int
    ) -> Running:
        """Start a worker that serves all ``sites``."""
        arguments = ["worker", "run", "--agents", "ledger", "--name", "worker"]
        arguments += ["--processes", str(processes), "--threads", str(threads)]
        arguments += [word for site in sites for word in ("--backend", site.backend)]
        env = {"VPOLLER_WORKER_KEY": "worker", "VPOLLER_WORKER_SERVER_KEY": "broker"}
        return self._start("worker", arguments, env, namespace)

    @contextlib.contextmanager
    def asking(self, namespace: Namespace, settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
        """Run an asking process."""
        command = [sys.executable, "-m", "tests.support.kills.asker"]
        text = msgspec.json.encode(settings).decode()
        asker = subprocess.Popen([*namespace.enter, *command, text], env=self._env, cwd=ROOT)
        try:
            yield asker
        finally:
            asker.terminate()
            asker.wait(10)

    def client_keys(self, name: str) -> dict[str, str]:
        """Return a client's arguments for the key ``name``."""
        return {"key": name, "server_key": "broker", "keys": str(self.keys)}

    def look(self, site: Site, verb: str) -> Any:
        """Ask a broker's admin door; ``None`` where nobody answers."""
        with VPollerClient(site.admin, 2000, 1, **self.client_keys("admin")) as client:
            reply = client.run({"method": verb})
        return reply["result"] if reply["success"] == 0 else None

    def workers(self, site: Site) -> list[str] | None:
        """Return the labels of the workers that a broker knows."""
        workers = self.look(site, "workers")
        return None if workers is None else [worker["label"] for worker in workers]

    def logs(self) -> str:
        """Return what all processes have said."""
        return logs_in(self.place)

    def _start(
        self, name: str, arguments: list[str], env: dict[str, str], namespace: Namespace
    ) -> Running:
        started = Running(name, arguments, self._env | env, self.place, enter=namespace.enter)
        self._running.append(started)
        return started

    def _environment(self) -> dict[str, str]:
        return no_settings() | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(AGENTS)]),
            "XDG_CONFIG_HOME": str(self.place),
            "KILLS_LEDGER": str(self.place),
            "VPOLLER_SECURITY_KEYS": str(self.keys),
        }

    def __enter__(self) -> Apart:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            print(self.logs(), file=sys.stderr)
        for running in reversed(self._running):
            # A broker whose clients have left for the other one waits for their tasks'
            # deadlines until it is told once more.
            running.end(patience=5.0)


def _make_keys(directory: Path) -> None:
    keys, authorized = KeyDirectory(directory), AuthorizedList(directory)
    for name in ("broker", *_ROLES):
        pair = new_pair()
        keys.write(name, pair.public, pair.secret)
        if name in _ROLES:
            authorized.add(Authorized(name, pair.public, _ROLES[name]))
