"""Hosts that come, change and go by ``vpoller host`` while workers run, and what is routed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fabric import Fabric, eventually
from tests.support.req import ask
from tests.support.vcsim import Simulator, running

pytest.importorskip("pyVmomi")
pytest.importorskip("cryptography")

#: Of no use at the simulator; whoever says it, in whole or in part, is found out.
WRONG = "Kanarie-4711"
PROCESSES = 2


@pytest.fixture(scope="module")
def vcenter() -> Iterator[Simulator]:
    with running(vms=2, hosts=1) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    """Two worker processes that find no host, and a broker that forgets one at once."""
    with Fabric({"grace_ms": 1, "route_memory_ms": 1}) as fabric:
        settings = fabric.place / "vpoller" / "vpoller.toml"
        settings.parent.mkdir(mode=0o700)
        settings.write_text(f'[agents.vsphere]\ndatabase = "{database_of(fabric)}"\n')
        fabric.start_worker(PROCESSES, 2, agents="system,vsphere")
        yield fabric


def database_of(fabric: Fabric) -> Path:
    return fabric.place / "vpoller" / "hosts.db"


def host(fabric: Fabric, *arguments: str, stdin: str = "") -> Any:
    """Run ``vpoller host``, which must succeed; return its data."""
    done = subprocess.run(
        [sys.executable, "-m", "vpoller_like.cli", "-vv", "host", *arguments],
        env=fabric.env,
        cwd=fabric.place,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    with (fabric.place / "host.log").open("a") as log:
        log.write(done.stdout + done.stderr)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout or "null")


def about(fabric: Fabric) -> dict[str, Any]:
    # One that waits while the host is taken back would wait for it to come again.
    meta = {"deadline_ms": 1000}
    return ask(fabric.frontend, {"method": "about", "hostname": "127.0.0.1", "meta": meta})


def code(fabric: Fabric) -> str | None:
    reply = about(fabric)
    return reply["error"].get("reason", reply["error"]["code"]) if reply["success"] else None


def served_by(fabric: Fabric) -> int:
    """Return how many processes announce the host."""
    hosts = [worker.get("hosts") or [] for worker in fabric.workers()]
    return sum("127.0.0.1" in each for each in hosts)


def becomes(fabric: Fabric, expected: str | None) -> None:
    """Wait until a request is answered so, by every process."""
    eventually(
        lambda: code(fabric) == expected, f"the host is answered for by {expected}", every=0.1
    )


def test_hosts_come_change_and_go_without_a_restart(fabric: Fabric, vcenter: Simulator) -> None:
    address = ("127.0.0.1", "--port", str(vcenter.port), "--thumbprint", vcenter.sha256)
    supervised = fabric.worker_pids()
    assert code(fabric) == "unknown_method"
    # So that the method is served for some host, whatever becomes of the other.
    host(fabric, "add", "localhost", "--port", "1", "--user", "root", "--password-env", "HOME")

    host(fabric, "add", *address, "--user", vcenter.user, stdin=f"{vcenter.password}\n")
    (tested,) = host(fabric, "test", "127.0.0.1")
    assert (tested["ok"], tested["host"]) == (True, "127.0.0.1")
    assert tested["version"]
    becomes(fabric, None)
    eventually(lambda: served_by(fabric) == PROCESSES, "every process serves the host")

    host(fabric, "disable", "127.0.0.1")
    becomes(fabric, "unknown_host")
    eventually(lambda: vcenter.sessions() == 0, "every session is logged out")
    assert ask(fabric.frontend, {"method": "system.status"})["success"] == 0

    host(fabric, "enable", "127.0.0.1")
    becomes(fabric, None)

    host(fabric, "add", "127.0.0.1", "--replace", stdin=f"{WRONG}\n")
    becomes(fabric, "login_refused")
    host(fabric, "add", "127.0.0.1", "--replace", stdin=f"{vcenter.password}\n")
    becomes(fabric, None)

    host(fabric, "remove", "127.0.0.1")
    becomes(fabric, "unknown_host")
    eventually(lambda: vcenter.sessions() == 0, "every session is logged out")
    assert fabric.worker_pids() == supervised


def test_what_all_of_them_said_tells_no_password(fabric: Fabric) -> None:
    """After the story above: workers, broker and `vpoller host`, at their most talkative."""
    said = fabric.logs()
    assert "127.0.0.1" in said
    assert WRONG[:7] not in said
    for path in (fabric.place / "vpoller").iterdir():
        assert WRONG[:7].encode() not in path.read_bytes(), path


def test_a_database_that_becomes_unusable_does_not_stop_what_serves(
    fabric: Fabric, vcenter: Simulator
) -> None:
    address = ("127.0.0.1", "--port", str(vcenter.port), "--thumbprint", vcenter.sha256)
    host(fabric, "add", *address, "--user", vcenter.user, stdin=f"{vcenter.password}\n")
    becomes(fabric, None)
    os.chmod(database_of(fabric), 0o644)
    complaint = f"chmod 600 {database_of(fabric)}"
    eventually(lambda: complaint in fabric.logs(), "the worker says what to do")
    assert code(fabric) is None
    os.chmod(database_of(fabric), 0o600)
    host(fabric, "disable", "127.0.0.1")
    becomes(fabric, "unknown_host")
