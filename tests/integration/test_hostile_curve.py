"""A broker with a key, and strangers without: nothing that they send gets past the handshake."""

from __future__ import annotations

import os
import random
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import zmtp
from tests.support.curve import Keys
from tests.support.fabric import DOORS, ROOT, Running, eventually, free_endpoints
from tests.support.hostile import Attackers, flood_with_pings
from vpoller_like.client import VPollerClient

SEED = 20261122


class Guarded:
    """A broker's process whose doors are CURVE. ``keys`` has ``anna``, an admin."""

    def __init__(self, place: Path) -> None:
        self.keys = Keys(place / "keys")
        self.keys.add("anna", "admin")
        self.doors = dict(zip(DOORS, free_endpoints(len(DOORS)), strict=True))
        options = [word for door, where in self.doors.items() for word in (f"--{door}", where)]
        env = {k: v for k, v in os.environ.items() if not k.startswith("VPOLLER_")} | {
            "PYTHONPATH": str(ROOT),
            "VPOLLER_SECURITY_KEYS": str(place / "keys"),
            "VPOLLER_BROKER_KEY": "broker",
        }
        self.process = Running("guarded", ["broker", "run", *options], env, place)

    def answers(self) -> bool:
        """Say whether the admin is answered."""
        arguments = self.keys.as_arguments("anna")
        with VPollerClient(self.doors["admin"], timeout=2000, retries=1, **arguments) as client:
            return bool(client.run({"method": "status"})["success"] == 0)


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Guarded]:
    guarded = Guarded(tmp_path)
    try:
        eventually(guarded.answers, "the broker answers an admin")
        yield guarded
        assert guarded.process.exit_code is None, guarded.process.log.read_text()
        assert guarded.answers()
        guarded.process.send(signal.SIGTERM)
        guarded.process.wait()
    finally:
        if guarded.process.exit_code is None:
            guarded.process.kill()


def test_strangers_are_not_let_in(guarded: Guarded) -> None:
    doors = {door: guarded.doors[door] for door in ("frontend", "backend", "admin")}
    attackers = Attackers(doors, 200, SEED)
    attackers.start()
    eventually(lambda: not attackers.busy, "all attacks are over", timeout=90.0)
    attackers.stop()
    assert attackers.admitted == 0


def test_what_aborts_libzmq_does_not_come_from_strangers(guarded: Guarded) -> None:
    rng = random.Random(SEED)
    for door in ("frontend", "backend", "admin"):
        for _ in range(10):
            flood_with_pings(guarded.doors[door], rng)


def test_a_stranger_who_speaks_of_curve_is_not_let_in_either(guarded: Guarded) -> None:
    rng = random.Random(SEED)
    for _ in range(20):
        with zmtp.connect(guarded.doors["frontend"], timeout=20.0) as raw:
            raw.sendall(zmtp.greeting(b"CURVE"))
            raw.sendall(zmtp.command(b"HELLO", b"\x01\x00" + rng.randbytes(192)))
            raw.sendall((zmtp.message([b"", b"x"]) * 20 + zmtp.ping()) * 50)
            with pytest.raises((ConnectionError, EOFError)):
                _read_to_end(raw)


def _read_to_end(raw: socket.socket) -> None:
    while raw.recv(4096):
        pass
    raise EOFError
