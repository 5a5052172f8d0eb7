"""``vpoller doctor`` beside a broker that runs, and where something is in its way."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fabric import DOORS, Fabric, free_endpoints


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric() as fabric:
        fabric.start_worker(agents="probe")
        yield fabric


def doctor(fabric: Fabric, *areas: str, **settings: str) -> tuple[int, list[dict[str, Any]]]:
    """Return the exit code and the findings, with these settings (``broker__frontend``)."""
    env = {f"VPOLLER_{name.upper().replace('__', '_')}": settings[name] for name in settings}
    done = subprocess.run(
        [sys.executable, "-m", "vpoller_like.cli", "doctor", *areas],
        env=fabric.env | env,
        cwd=fabric.place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, json.loads(done.stdout)


def test_a_machine_where_all_runs_is_well(fabric: Fabric) -> None:
    code, findings = doctor(
        fabric,
        client__endpoints=fabric.frontend,
        client__admin=fabric.admin,
        worker__backends=fabric.backend,
        worker__agents="probe",
        **{f"broker__{door}": getattr(fabric, door) for door in DOORS},
    )
    # Some machines allow few files.
    wrong = [found for found in findings if found["level"] != "ok" and found["area"] != "machine"]
    assert wrong == []
    assert code == 0
    served = [found["text"] for found in findings if found["area"] == "ports"]
    assert len(served) == 4
    assert all(f"is served by the broker of pid {fabric.broker_pid}" in text for text in served)
    assert any("registered: 1 worker" in found["text"] for found in findings)


def test_nothing_is_asked_of_the_workers(fabric: Fabric) -> None:
    before = fabric.status()["counters"]
    doctor(fabric, "brokers", client__endpoints=fabric.frontend, client__admin=fabric.admin)
    after = fabric.status()["counters"]
    assert after["bad_requests"] == before["bad_requests"] + 1, "it asked, and for no method"
    assert after["requests"] == before["requests"]


def test_who_holds_a_port_is_named(fabric: Fabric) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        code, findings = doctor(fabric, "ports", broker__frontend=f"tcp://127.0.0.1:{port}")
    (found,) = [found for found in findings if "frontend" in found["text"]]
    assert (code, found["level"]) == (1, "problem")
    assert "the address is in use" in found["text"]
    assert f"(pid {os.getpid()})" in found["advice"]


def test_looking_at_free_ports_takes_none(fabric: Fabric) -> None:
    settings = {f"broker__{door}": end for door, end in zip(DOORS, free_endpoints(4), strict=True)}
    for _ in range(2):
        code, findings = doctor(fabric, "ports", **settings)
        assert [found["level"] for found in findings] == ["ok"] * 4
        assert code == 0
