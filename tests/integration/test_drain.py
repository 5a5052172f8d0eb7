"""Draining under load: what was accepted is answered, nothing is lost and nothing runs twice."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.support.fabric import Fabric, eventually
from tests.support.req import Dealer
from vpoller_like.client import VPollerClient

Envelope = dict[str, Any]


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    with Fabric() as fabric:
        yield fabric


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """Return the file in which ``probe.count`` leaves a line for each run."""
    return tmp_path / "traces"


def vpoller(fabric: Fabric, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "vpoller_like.cli", *arguments, "--admin", fabric.admin],
        env=fabric.env,
        cwd=fabric.place,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def _runs(traces: Path) -> int:
    return len(traces.read_text().split()) if traces.exists() else 0


class Load:
    """Requests under way at one broker, of a method that must not run twice."""

    def __init__(self, endpoint: str, traces: Path, count: int, seconds: float) -> None:
        request = {"method": "probe.count", "file": str(traces), "seconds": seconds}
        self._requests = [
            {**request, "meta": {"id": f"{endpoint}-{number}", "age_ms": 0}}
            for number in range(count)
        ]
        self._endpoint = endpoint
        self.replies: list[Envelope] = []
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with Dealer(self._endpoint) as dealer:
            self.replies = dealer.ask_all(self._requests, timeout=60)

    def __enter__(self) -> Load:
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self._thread.join()

    def not_answered_once(self) -> list[Any]:
        """What should not be: replies that fail or tell of a second run, and how many lack."""
        odd: list[Any] = [
            reply
            for reply in self.replies
            if reply["success"] != 0 or reply["meta"]["attempts"] != 1
        ]
        lacking = len(self._requests) - len(self.replies)
        return [*odd, f"{lacking} replies lack"] if lacking else odd


def _nothing_was_lost(fabric: Fabric) -> bool:
    counters = fabric.status()["counters"]
    return not any(counters[name] for name in ("lost_workers", "worker_lost", "redelivered"))


def test_a_drained_worker_finishes_what_it_holds_and_ends_whole(
    fabric: Fabric, traces: Path
) -> None:
    leaving = fabric.start_worker(processes=2, threads=2)
    fabric.start_worker(processes=1, threads=2)
    with Load(fabric.frontend, traces, 200, 0.02) as load:
        eventually(lambda: _runs(traces) > 20, "work is under way")
        done = vpoller(fabric, "worker", "drain", "worker-1/1")
    assert done.returncode == 0, done.stderr
    assert "Worker worker-1 has ended." in done.stderr
    assert leaving.wait() == 0
    assert load.not_answered_once() == []
    assert _runs(traces) == 200
    assert _nothing_was_lost(fabric)
    assert [worker["label"] for worker in fabric.workers()] == ["worker-2/0"]


def test_a_worker_of_two_brokers_that_one_drains_owes_nothing_to_the_other(
    fabric: Fabric, traces: Path
) -> None:
    with Fabric() as other:
        backends = [fabric.backend, other.backend]
        leaving = fabric.start_worker(processes=2, threads=2, backends=backends)
        fabric.start_worker(processes=1, threads=2, backends=backends)
        eventually(lambda: len(other.workers()) == 3, "all serve the other broker, too")
        with (
            Load(fabric.frontend, traces, 80, 0.02) as here,
            Load(other.frontend, traces, 80, 0.02) as there,
        ):
            eventually(lambda: _runs(traces) > 10, "work is under way")
            assert vpoller(fabric, "worker", "drain", "worker-1").returncode == 0
        assert leaving.wait() == 0
        assert here.not_answered_once() == []
        assert there.not_answered_once() == []
        assert _runs(traces) == 160
        assert _nothing_was_lost(fabric)
        assert _nothing_was_lost(other)


def test_clients_of_a_drained_broker_go_on_at_the_other(fabric: Fabric, traces: Path) -> None:
    with Fabric() as other, contextlib.ExitStack() as clients:
        backends = [fabric.backend, other.backend]
        fabric.start_worker(processes=2, threads=2, backends=backends)
        eventually(lambda: len(other.workers()) == 2, "both serve the other broker, too")
        request = {"method": "probe.count", "file": str(traces), "seconds": 0.02}

        def ask_many(_: int) -> list[Envelope]:
            endpoints = [fabric.frontend, other.frontend]
            with VPollerClient(endpoints, timeout=10_000, retries=3) as client:
                return [client.run(request) for _ in range(40)]

        pool = clients.enter_context(ThreadPoolExecutor(4))
        asked = [pool.submit(ask_many, number) for number in range(4)]
        eventually(lambda: _runs(traces) > 20, "work is under way")
        assert not other.status()["counters"]["requests"], "all clients ask the first broker"
        done = vpoller(fabric, "broker", "drain")
        replies = [reply for answer in asked for reply in answer.result()]
        assert done.returncode == 0, done.stderr
        assert "has ended" in done.stderr
        assert fabric.broker.wait() == 0
        assert [reply["success"] for reply in replies] == [0] * 160, replies
        assert _runs(traces) == 160
        assert other.status()["counters"]["requests"] > 0
        assert _nothing_was_lost(other)


def test_a_worker_that_is_not_registered_is_said_so(fabric: Fabric) -> None:
    fabric.start_worker(name="node-1")
    done = vpoller(fabric, "worker", "drain", "node1")
    assert done.returncode == 5
    assert done.stderr == "Error: no worker node1 is registered; did you mean node-1?\n"
    assert [worker["state"] for worker in fabric.workers()] == ["ready"]
