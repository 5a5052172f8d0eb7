"""A thousand hostile connections to a real broker; ``tests/faults/hostile_wire.py`` makes more."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import pytest

from tests.support import zmtp
from tests.support.fabric import Fabric, eventually
from tests.support.fuzzing import resident_bytes
from tests.support.hostile import ATTACKS, Attackers, Honest
from tests.support.req import Req

SEED = 20261122
CONNECTIONS = 1200
DOORS = ("frontend", "backend", "plain", "admin")
#: Bytes that the broker's memory may grow by.
SLACK = 64 << 20


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    with Fabric({"remember_ms": 2000, "route_memory_ms": 2000, "drain_ms": 500}) as fabric:
        fabric.start_worker(processes=1, threads=1, agents="system")
        yield fabric


def descriptors(fabric: Fabric) -> int:
    return len(os.listdir(f"/proc/{fabric.broker_pid}/fd"))


def test_hostile_connections_disturb_nobody(fabric: Fabric) -> None:
    pid, open_before = fabric.broker_pid, descriptors(fabric)
    workers, memory = fabric.worker_pids(), resident_bytes(pid)
    doors = {door: getattr(fabric, door) for door in DOORS}
    attackers = Attackers(doors, CONNECTIONS, SEED)
    with Req(fabric.frontend) as req:

        def ask(request: dict[str, object]) -> dict[str, object]:
            req.send(request)
            return req.receive()

        honest = Honest(ask)
        honest.start()
        attackers.start()
        eventually(lambda: not attackers.busy, "all attacks are over", timeout=100.0)
        attackers.stop()
        honest.end()
    assert honest.wrong == []
    assert honest.right > 20
    assert attackers.done == CONNECTIONS
    assert attackers.refused == 0
    assert attackers.admitted > CONNECTIONS / 3
    assert set(attackers.made) == {attack.__name__ for attack in ATTACKS}
    eventually(lambda: descriptors(fabric) <= open_before + 3, "their descriptors come back")
    assert fabric.broker.exit_code is None
    assert workers <= fabric.worker_pids()
    assert resident_bytes(pid) < memory + SLACK


def test_half_a_handshake_is_ended_by_the_broker() -> None:
    with Fabric() as fabric, zmtp.connect(fabric.frontend, timeout=20.0) as raw:
        raw.sendall(zmtp.greeting())
        start = time.monotonic()
        while raw.recv(4096):
            pass
        assert time.monotonic() - start < 15
