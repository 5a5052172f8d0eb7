"""A simulated vCenter: builds the program in ``vcsim/`` once and runs it for a test.

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
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workers.vsphere import VSphereAgent

# A module that can't do without pyVmomi skips itself after it has imported this one.
if os.environ.get("CI") == "true":
    import pyVmomi  # noqa: F401

SOURCE = Path(__file__).parent / "vcsim"
CACHE = Path(__file__).parents[2] / ".build"
GOPATH = Path("/usr/share/gocode")
LIBRARY = GOPATH / "src/github.com/vmware/govmomi/simulator"
USER, PASSWORD = "user", "pass"

#: Who may log in at the guests of a simulator that has the feature ``guests``.
GUEST_USER, GUEST_PASSWORD = "guest", "s3cret"

#: What the inventory can have besides the plain one.
#:
#: - ``duplicates``: a second machine of the first one's name, in the folder ``copies``.
#: - ``off``: the last machine of each cluster is powered off.
#: - ``guests``: machines that are on have tools, disks, network cards and processes.
#: - ``snapshots``: the first machine has a tree of seven levels with a branch beside
#:   level 4 (eight snapshots), the second one has a single snapshot.
#: - ``vsan``: the hosts of a cluster are a vSAN, the last of them unhealthy.
#: - ``alarms``: triggered on the first object of each kind, two on the first machine.
FEATURES = ("duplicates", "off", "guests", "snapshots", "vsan", "alarms")


class Simulator:
    """One running simulator; ``stop`` ends it, and so does the end of this process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self._lock = threading.Lock()
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

    def calls(self, *, again: bool = False) -> dict[str, int]:
        """Return how often each SOAP operation was asked for; with ``again``, start from zero."""
        return dict(self._command("calls", again=again))

    def delay(self, seconds: float, operation: str = "") -> None:
        """Answer ``operation``, or all that have no delay of their own, so much later.

        ``delay(0)`` ends all delays. A delay that has begun is waited for.
        """
        self._command("delay", seconds=seconds, operation=operation)

    def fault(
        self,
        fault: str,
        operation: str = "",
        *,
        message: str = "",
        inner: str = "",
        object_id: str = "",
        times: int = 0,
    ) -> None:
        """Answer ``operation`` with a fault, such as ``NoPermission``, until :meth:`mend`.

        Without an operation, all but logging in and out. ``inner`` is XML of the fault's
        properties; ``object_id`` (``vm-42``) restricts it to requests that name this
        object, ``times`` to so many requests.
        """
        self._command(
            "fault",
            fault=fault,
            operation=operation,
            message=message,
            inner=inner,
            object=object_id,
            times=times,
        )

    def deny(self, name: str, path: str) -> None:
        """Let nobody read the property ``path`` of an object, until :meth:`mend`.

        Heeded where ``path`` is asked for as it stands, not as part of another one.
        """
        self._command("deny", name=name, path=path)

    def mend(self) -> None:
        """End all faults and denials."""
        self._command("mend")

    def reference(self, name: str) -> str:
        """Return the reference of the object of that name, ``VirtualMachine:vm-42``.

        Here and below, the first one made if there are several; a reference is a name too.
        """
        return str(self._command("reference", name=name))

    def rename(self, name: str, to: str) -> None:
        """Rename an object."""
        self._command("rename", name=name, to=to)

    def add(self, name: str, like: str, *, folder: str = "", pool: str = "") -> str:
        """Clone the machine ``like``, and return the new one's reference.

        ``folder`` is the name of a folder, made where there is none, and ``pool`` that of a
        resource pool: those of ``like`` where they are left out.
        """
        return str(self._command("add", name=name, like=like, folder=folder, pool=pool))

    def remove(self, name: str) -> None:
        """Destroy a machine."""
        self._command("remove", name=name)

    def power(self, name: str, on: bool) -> None:
        """Power a machine on or off."""
        self._command("power", name=name, on=on)

    def snapshot(self, name: str, snapshot: str, description: str = "", *, days: float = 0) -> None:
        """Make a snapshot of a machine, below its current one; it is so many ``days`` old."""
        self._command("snapshot", name=name, snapshot=snapshot, description=description, days=days)

    def revert(self, name: str, snapshot: str) -> None:
        """Make a snapshot the current one, so that the next is another child of it."""
        self._command("revert", name=name, snapshot=snapshot)

    def event(
        self,
        kind: str,
        entity: str = "",
        *,
        message: str = "",
        time: datetime | None = None,
        number: int = 1,
    ) -> int:
        """Post ``number`` events of one time, and return the key of the last one.

        ``kind`` is ``UserLoginSessionEvent``, ``VmPoweredOnEvent`` and so on, ``entity`` the
        object that they are about. The keys of later events are greater.
        """
        at = time.isoformat() if time else None
        return int(
            self._command(
                "event", type=kind, entity=entity, message=message, time=at, number=number
            )
        )

    def readers(self) -> int:
        """Return how many event history collectors were made and not destroyed."""
        return int(self._command("readers"))

    def alarm(self, name: str, entity: str, status: str = "red", acknowledged_by: str = "") -> None:
        """Trigger an alarm on an object; the objects that it is in have it too."""
        self._command(
            "alarm", name=name, entity=entity, status=status, acknowledgedBy=acknowledged_by
        )

    def silence(self) -> None:
        """Reset all alarms."""
        self._command("silence")

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

    def _command(self, word: str, **arguments: Any) -> Any:
        assert self._process.stdin is not None
        with self._lock:
            self._process.stdin.write(f"{word} {json.dumps(arguments)}\n")
            self._process.stdin.flush()
            answer = self._answer()
        if isinstance(answer, dict) and "error" in answer:
            raise ValueError(f"{word}: {answer['error']}")
        return answer

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
    standalone_hosts: int = 0,
    pools: int = 0,
    port_groups: int = 1,
    folders: int = 0,
    features: Iterable[str] = (),
    page: int = 0,
    names: str = "127.0.0.1,localhost",
    listen: str = "127.0.0.1:0",
) -> Iterator[Simulator]:
    """Run a simulator with ``vms`` virtual machines in all, and end it afterwards.

    ``clusters`` are in each datacenter, ``hosts`` in each cluster, ``pools`` resource pools
    in each cluster besides its own, with no machines; ``standalone_hosts`` are outside of
    clusters, each with as many machines besides as a cluster has. ``features`` are some of
    :data:`FEATURES`. ``page`` is the most objects in one answer (0: all), ``names`` are what
    its certificate is for.
    """
    options = {
        "vm": vms // (datacenters * clusters),
        "dc": datacenters,
        "cluster": clusters,
        "host": hosts,
        "ds": datastores,
        "standalone-host": standalone_hosts,
        "pool": pools,
        "pg": port_groups,
        "folder": folders,
        "with": ",".join(features),
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


def result(envelope: dict[str, Any]) -> Any:
    """Return the result of a reply that is to be a success."""
    assert envelope["success"] == 0, envelope["msg"]
    return envelope["result"]


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
    program = CACHE / f"vcsim-{_fingerprint()}"
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / "vcsim.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            _build(program)
    return program


def _fingerprint() -> str:
    """Return what changes with any of the sources."""
    hashed = hashlib.sha256()
    for source in sorted(SOURCE.glob("*.go")):
        hashed.update(source.name.encode() + b"\0" + source.read_bytes() + b"\0")
    return hashed.hexdigest()[:16]


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
        ["go", "build", "-p", "2", "-o", str(unfinished), "."],
        cwd=SOURCE,
        env=environment,
        capture_output=True,
        text=True,
    )
    if built.returncode:
        raise RuntimeError(f"the vCenter simulator does not build:\n{built.stderr}")
    unfinished.replace(program)
