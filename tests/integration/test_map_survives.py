"""A map over killed workers and a restarted broker: nothing is lost, and nothing runs twice."""

from __future__ import annotations

import os
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.fabric import Fabric, eventually
from vpoller_like.client import VPollerClient
from vpoller_like.client.outcome import Envelope

COUNT = 400


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric() as fabric:
        fabric.start_worker(processes=2, threads=2, agents="probe")
        eventually(lambda: fabric.status()["uptime_s"] > 2.1, "the broker's first seconds pass")
        yield fabric


def mapped(
    fabric: Fabric, method: str, file: Path, strike: Callable[[], None], at: int = COUNT // 3
) -> list[Envelope]:
    """Map ``COUNT`` requests that count their runs; ``strike`` when so many are answered."""
    requests = [
        {"method": method, "file": str(file), "seconds": 0.002, "n": n} for n in range(COUNT)
    ]
    envelopes: list[Envelope] = []
    with VPollerClient(fabric.frontend, timeout=3000, retries=10) as client:
        striker = threading.Thread(target=strike)
        for envelope in client.map(requests, window=200):
            envelopes.append(envelope)
            if len(envelopes) == at:
                striker.start()
        striker.join(60)
    return envelopes


def codes(envelopes: list[Envelope]) -> Counter[Any]:
    return Counter(envelope.get("error", {}).get("code") for envelope in envelopes)


def kill_one(fabric: Fabric) -> None:
    eventually(lambda: len(fabric.worker_pids()) == 2, "both processes serve")
    os.kill(min(fabric.worker_pids()), signal.SIGKILL)


def restart(fabric: Fabric) -> None:
    fabric.kill_broker()
    fabric.restart_broker()


def runs(file: Path) -> int:
    return len(file.read_text().splitlines())


def test_what_may_run_twice_is_delivered_again(fabric: Fabric, tmp_path: Path) -> None:
    file = tmp_path / "runs"
    envelopes = mapped(fabric, "probe.count.safe", file, lambda: kill_one(fabric))
    assert codes(envelopes) == {None: COUNT}
    assert runs(file) >= COUNT


def test_what_may_not_run_twice_is_lost_by_name_alone(fabric: Fabric, tmp_path: Path) -> None:
    file = tmp_path / "runs"
    envelopes = mapped(fabric, "probe.count", file, lambda: kill_one(fabric))
    told = codes(envelopes)
    assert set(told) <= {None, "worker_lost"}
    # The process that was killed had two slots.
    assert told["worker_lost"] <= 2
    assert COUNT - told["worker_lost"] <= runs(file) <= COUNT


def test_what_may_run_twice_outlives_its_broker(fabric: Fabric, tmp_path: Path) -> None:
    file = tmp_path / "runs"
    envelopes = mapped(fabric, "probe.count.safe", file, lambda: restart(fabric))
    assert codes(envelopes) == {None: COUNT}
    assert runs(file) >= COUNT


def test_what_may_not_run_twice_never_does_over_a_brokers_death(
    fabric: Fabric, tmp_path: Path
) -> None:
    file = tmp_path / "runs"
    told = codes(mapped(fabric, "probe.count", file, lambda: restart(fabric)))
    # What waited in the broker that died may have run, for all that anybody knows.
    assert set(told) <= {None, "worker_lost"}
    assert told[None] >= COUNT // 3
    assert told[None] <= runs(file) <= COUNT
