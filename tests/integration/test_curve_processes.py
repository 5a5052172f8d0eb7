"""Keys from the shell, with real processes: made, authorised, used, revoked; without a restart."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.exporting import Exporter
from tests.support.fabric import (
    AGENTS,
    DOORS,
    PATIENCE,
    ROOT,
    NotInTime,
    Running,
    eventually,
    free_endpoints,
)


class Shell:
    """A user's shell on one machine, where nothing is set up."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.keys = place / "config" / "vpoller" / "keys"
        env = {k: v for k, v in os.environ.items() if not k.startswith("VPOLLER_")}
        # As a user who is not root sees it: with root's own directory there may be no say.
        self.env = env | {
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(AGENTS)]),
            "XDG_CONFIG_HOME": str(place / "config"),
            "VPOLLER_SECURITY_KEYS": str(self.keys),
        }
        self.endpoints = dict(zip(DOORS, free_endpoints(len(DOORS)), strict=True))
        self._running: list[Running] = []

    def __call__(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run ``vpoller`` to its end."""
        return subprocess.run(
            [sys.executable, "-m", "vpoller_like.cli", *arguments],
            env=self.env,
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE * 2,
        )

    def ok(self, *arguments: str) -> Any:
        """Run ``vpoller``, which is to succeed; return what it says on stdout, as JSON."""
        done = self(*arguments)
        assert done.returncode == 0, done.stderr
        return msgspec.json.decode(done.stdout) if done.stdout.strip() else None

    def call(self, key: str, method: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Call a method with a key."""
        where = ["--endpoint", self.endpoints["frontend"], "--timeout", "20000"]
        return self("call", *where, "--key", key, "--server-key", "broker", method, *words)

    def look(self, key: str, verb: str) -> subprocess.CompletedProcess[str]:
        """Use an admin verb with a key."""
        keys = ["--key", key, "--server-key", "broker"]
        return self(verb, "--admin", self.endpoints["admin"], *keys)

    def counters(self, key: str) -> dict[str, int]:
        """Return the broker's totals."""
        counters: dict[str, int] = msgspec.json.decode(self.look(key, "status").stdout)["counters"]
        return counters

    def start(self, name: str, *arguments: str) -> Running:
        """Start a ``vpoller`` that stays."""
        running = Running(name, arguments, self.env, self.place)
        self._running.append(running)
        return running

    def start_broker(self) -> Running:
        doors = [word for door in DOORS for word in (f"--{door}", self.endpoints[door])]
        return self.start("broker", "broker", "run", "--key", "broker", *doors)

    def start_worker(self, key: str, agents: str = "probe") -> Running:
        options = ["--backend", self.endpoints["backend"], "--processes", "1", "--agents", agents]
        keys = ["--key", key, "--server-key", "broker"]
        return self.start("worker", "worker", "run", *options, *keys)

    def start_exporter(self, key: str) -> Exporter:
        port = int(free_endpoints(1)[0].rpartition(":")[2])
        where = ["--listen", f"127.0.0.1:{port}", "--endpoint", self.endpoints["frontend"]]
        keys = ["--key", key, "--server-key", "broker"]
        return Exporter(self.start(f"exporter-{key}", "exporter", *where, *keys), port)

    def end(self) -> None:
        for running in reversed(self._running):
            for number in (signal.SIGTERM, signal.SIGKILL):
                if running.exit_code is None:
                    running.send(number)
                    with contextlib.suppress(NotInTime):
                        running.wait(15.0)


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    shell = Shell(tmp_path)
    yield shell
    shell.end()


def test_the_whole_story(shell: Shell) -> None:
    for name in ("broker", "me", "node"):
        shell.ok("keys", "new", name)
    shell.ok("keys", "authorize", "node", "--role", "worker", "--methods", "probe.*")
    broker = shell.start_broker()
    worker = shell.start_worker("node")

    # Nobody knows the key: it is said at once, in one sentence, with an exit code of its own.
    refused = shell.call("me", "probe.quick")
    assert refused.returncode == 6
    assert "does not let this key in as a caller; run `vpoller keys authorize" in refused.stderr
    assert refused.stderr.count("\n") == 1

    shell.ok("keys", "authorize", "me", "--methods", "probe.q*,vm.*")
    broker.send(signal.SIGHUP)
    eventually(lambda: shell.call("me", "probe.quick").returncode == 0, "the caller is let in")
    outside = shell.call("me", "system.echo")
    assert outside.returncode == 6
    assert "me may ask for probe.q*, vm.* and not for system.echo" in outside.stderr

    # The look of it, for an admin alone.
    not_yet = shell.look("me", "status").stderr
    assert "status needs an admin's key, and me is a caller's" in not_yet
    shell.ok("keys", "authorize", "me", "--role", "admin")
    broker.send(signal.SIGHUP)
    seen = eventually(lambda: shell.look("me", "status").stdout, "me is an admin")
    status = msgspec.json.decode(seen)
    assert status["security"]["frontend"] == "curve"
    assert status["security"]["keys"] == {"admin": 1, "worker": 1}
    assert status["counters"]["refused_handshakes"] >= 1

    # Revoked, on the connection that lives: the worker says so, and comes back when it may.
    shell.ok("keys", "revoke", "node")
    broker.send(signal.SIGHUP)
    sentence = "does not take this worker: its key is not authorised as a worker's; trying again"
    eventually(lambda: sentence in worker.log.read_text(), "the worker says why")
    assert msgspec.json.decode(shell.look("me", "status").stdout)["workers"] == 0
    shell.ok("keys", "authorize", "node", "--role", "worker")
    broker.send(signal.SIGHUP)
    eventually(lambda: shell.call("me", "probe.quick").returncode == 0, "it serves again")

    shell.ok("keys", "revoke", "me")
    broker.send(signal.SIGHUP)
    eventually(lambda: shell.call("me", "probe.quick").returncode == 6, "the caller is refused")

    said = broker.log.read_text() + worker.log.read_text()
    for name in ("broker", "me", "node"):
        assert (shell.keys / f"{name}.key").read_text().strip() not in said


def test_a_worker_says_once_why_it_is_not_let_in_and_registers_when_it_is(shell: Shell) -> None:
    for name in ("broker", "node", "me"):
        shell.ok("keys", "new", name)
    shell.ok("keys", "authorize", "me", "--role", "admin")
    # A caller's key is none for a worker.
    shell.ok("keys", "authorize", "node", "--role", "caller")
    shell.start_broker()
    worker = shell.start_worker("node")
    sentence = "does not let this key in as a worker; run `vpoller keys authorize NAME"
    eventually(lambda: sentence in worker.log.read_text(), "the worker says why")
    refused = "node is a caller's key, not a worker's"
    log = shell.place / "broker.log"
    eventually(lambda: refused in log.read_text(), "so does the broker")
    eventually(lambda: shell.counters("me")["refused_handshakes"] >= 3, "it has asked again")
    assert worker.log.read_text().count(sentence) == 1
    # Without SIGHUP: the list is looked at.
    shell.ok("keys", "authorize", "node", "--role", "worker")
    eventually(lambda: "registered" in worker.log.read_text(), "the worker is let in")
    assert shell.call("me", "probe.quick").returncode == 0


def test_an_exporter_needs_a_key_for_one_method_alone(shell: Shell) -> None:
    for name in ("broker", "node", "prometheus", "stranger"):
        shell.ok("keys", "new", name)
    shell.ok("keys", "authorize", "node", "--role", "worker")
    shell.ok("keys", "authorize", "prometheus", "--methods", "metrics.collect")
    shell.start_broker()
    shell.start_worker("node", agents="meter")
    ours, theirs = shell.start_exporter("prometheus"), shell.start_exporter("stranger")
    for exporter in (ours, theirs):
        eventually(exporter.answers, "the exporter is ready")
    eventually(lambda: ours.get("/metrics?target=good").value("vpoller_target_up"), "it may ask")
    refused = theirs.get("/metrics?target=good")
    assert refused.value("vpoller_target_scrape_error", reason="refused") == 1
    assert shell("exporter", "--key", "ghost", "--server-key", "broker").returncode == 1


def test_what_is_wrong_with_keys_is_said_before_anything_starts(shell: Shell) -> None:
    assert "there is no key" in shell("broker", "run", "--key", "broker").stderr
    shell.ok("keys", "new", "broker")
    nobody = shell("broker", "run", "--key", "broker")
    assert nobody.returncode != 0
    assert "nobody is authorised" in nobody.stderr
    assert "`vpoller keys authorize NAME --role caller`" in nobody.stderr
    (shell.keys / "broker.key").chmod(0o644)
    opened = shell("broker", "run", "--key", "broker")
    assert f"chmod 600 {shell.keys / 'broker.key'}" in opened.stderr
    worker = shell("worker", "run", "--key", "ghost", "--server-key", "broker")
    assert (worker.returncode, "there is no key" in worker.stderr) == (1, True)
    assert "worker.server_key is not" in shell("worker", "run", "--key", "broker").stderr
    far = shell("broker", "run", "--frontend", "tcp://0.0.0.0:29999")
    assert "run `vpoller keys new broker`, and `vpoller keys authorize NAME" in far.stderr
