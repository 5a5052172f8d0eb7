"""A simulated vCenter: builds ``vcsim/main.go`` once and runs it for a test.

Needs Debian's golang-go and golang-github-vmware-govmomi-dev. Without them the tests
that ask for a simulator are skipped, or fail where ``CI=true``.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.vsphere import VSphereAgent

# A module that can't do without pyVmomi skips itself after it has imported this one.
if os.environ.get("CI") == "true":
    import pyVmomi  # noqa: F401

SOURCE = Path(__file__).parent / "vcsim" / "main.go"
CACHE = Path(__file__).parents[2] / ".build"
GOPATH = Path("/usr/share/gocode")
LIBRARY = GOPATH / "src/github.com/vmware/govmomi/simulator"
USER, PASSWORD = "user", "pass"


class Simulator:
    """One running simulator; ``stop`` ends it, and so does the end of this process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        facts = self._answer()
        self.url: str = facts["url"]
        self.host: str = facts["host"]
        self.port: int = facts["port"]
        self.sha1: str = facts["sha1"]
        self.sha256: str = facts["sha256"]
        self.pem: str = facts["pem"]
        self.user = USER
        self.password = PASSWORD

    @property
    def settings(self) -> str:
        """Return the lines of a vpoller.toml by which the vsphere agent polls it."""
        return (
            "[[agents.vsphere.hosts]]\n"
            f'host = "{self.host}"\nport = {self.port}\n'
            f'user = "{self.user}"\npassword = "{self.password}"\n'
            f'thumbprint = "{self.sha256}"\n'
        )

    def sessions(self) -> int:
        """Return how many sessions are logged in."""
        return int(self._command("sessions"))

    def expire(self) -> None:
        """End all sessions, as an idle time-out would."""
        self._command("expire")

    def drop(self) -> None:
        """Close all connections of clients."""
        self._command("drop")

    def freeze(self) -> None:
        """Stop answering: connections are still accepted by the kernel."""
        self._process.send_signal(signal.SIGSTOP)
        # A signal is taken up in a while, and a thread may answer meanwhile.
        threads = Path(f"/proc/{self._process.pid}/task")
        while any(_state(thread) != "T" for thread in threads.iterdir()):
            time.sleep(0.001)

    def thaw(self) -> None:
        """Answer again after ``freeze``."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """End the simulator; does nothing when it has ended already."""
        if self._process.poll() is None:
            self.thaw()
        self._process.communicate(timeout=20)

    def _command(self, word: str) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the simulator ended with status {self._process.wait(20)}")
        return json.loads(line)


def _state(thread: Path) -> str:
    """Return the state of a thread, a letter of proc(5)."""
    return (thread / "stat").read_text().rpartition(") ")[2][0]


@contextmanager
def running(
    *,
    vms: int = 10,
    datacenters: int = 1,
    clusters: int = 1,
    hosts: int = 3,
    datastores: int = 1,
    page: int = 0,
    names: str = "127.0.0.1,localhost",
    listen: str = "127.0.0.1:0",
) -> Iterator[Simulator]:
    """Run a simulator with ``vms`` virtual machines in all, and end it afterwards.

    ``clusters`` are in each datacenter and ``hosts`` in each cluster; ``page`` is the most
    objects in one answer (0: all), ``names`` are what its certificate is for.
    """
    options = {
        "vm": vms // (datacenters * clusters),
        "dc": datacenters,
        "cluster": clusters,
        "host": hosts,
        "ds": datastores,
        "page": page,
        "names": names,
        "listen": listen,
        "user": USER,
        "password": PASSWORD,
    }
    process = subprocess.Popen(
        [str(executable()), *(f"-{option}={value}" for option, value in options.items())],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        simulator = Simulator(process)
        yield simulator
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
        process.communicate(timeout=20)


def agent_for(simulator: Simulator, **changes: Any) -> VSphereAgent:
    """Return an agent for a simulator that trusts its certificate by thumbprint."""
    from workers.vsphere import VSphereAgent

    arguments: dict[str, Any] = {
        "user": simulator.user,
        "pwd": simulator.password,
        "host": simulator.host,
        "port": simulator.port,
        "thumbprint": simulator.sha256,
        **changes,
    }
    return VSphereAgent(**arguments)


def executable() -> Path:
    """Return the simulator's program, built when its source is new; skip without Go."""
    require(missing())
    program = CACHE / f"vcsim-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:16]}"
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / "vcsim.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _build(program)
    return program


def missing() -> str:
    """Say what the simulator needs and does not find; empty where it can be built."""
    for found, what, package in (
        (shutil.which("go"), "go", "golang-go"),
        (LIBRARY.is_dir(), str(LIBRARY), "golang-github-vmware-govmomi-dev"),
    ):
        if not found:
            return f"the vCenter simulator needs {what}: install Debian's {package}"
    return ""


def require(reason: str) -> None:
    """Skip the test when something is missing; in CI, fail it."""
    if not reason:
        return
    # Here, because the demo runs the simulator too, and has no pytest.
    import pytest

    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def _build(program: Path) -> None:
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": str(GOPATH),
        "GOFLAGS": "",
        "GOCACHE": str(CACHE / "go-cache"),
    }
    unfinished = program.with_suffix(".new")
    built = subprocess.run(
        ["go", "build", "-p", "2", "-o", str(unfinished), str(SOURCE)],
        env=environment,
        capture_output=True,
        text=True,
    )
    if built.returncode:
        raise RuntimeError(f"the vCenter simulator does not build:\n{built.stderr}")
    unfinished.replace(program)
