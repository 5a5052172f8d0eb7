"""Quick tasks run in the thread that has the sockets; nothing else is to suffer from that.

A method becomes known as quick by being so; then one run of it is made slow.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.fake_backend import FakeBackend
from tests.support.running_worker import RunningWorker, eventually
from vpoller_like.protocol import worker as wire


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend() as fake:
        yield fake


def known_as_quick(backend: FakeBackend, method: str = "tally.quick") -> tuple[bytes, int]:
    """Have a worker run ``method`` until it takes it for quick; return it and its process."""
    peer, hello = backend.expect_from(wire.Hello)
    for _ in range(60):
        backend.give(peer, backend.task(method), backend.task(method))
        backend.results(2)
    return peer, hello.pid


def switches(pid: int) -> list[int]:
    """Return how often each thread of a process has waited for something, the most first."""
    status = Path(f"/proc/{pid}/task").glob("*/status")
    found = [
        int(line.split()[1])
        for text in (path.read_text() for path in status)
        for line in text.splitlines()
        if line.startswith("voluntary_ctxt_switches") and "Name:\tZMQ" not in text
    ]
    return sorted(found, reverse=True)


def test_a_quick_task_takes_no_switch_of_threads(backend: FakeBackend, tmp_path: Path) -> None:
    with RunningWorker(tmp_path, backend.endpoint, threads=2):
        peer, pid = known_as_quick(backend)
        # Another program on the machine can hold a task up, and its thread is then relieved as
        # it should be: one undisturbed round shows what a quick task costs.
        seen = []
        for _ in range(20):
            before = switches(pid)
            for _ in range(60):
                backend.give(peer, backend.task("tally.quick"))
                backend.results(1)
            after = switches(pid)
            grown = sorted((b - a for a, b in zip(before, after, strict=True)), reverse=True)
            seen.append(grown)
            if sum(grown[1:]) < 20:
                return
        raise AssertionError(f"other threads woke in every round of 60 tasks: {seen}")


def test_threads_without_anything_to_do_sleep(backend: FakeBackend, tmp_path: Path) -> None:
    backend.heartbeat_ms = 1000
    with RunningWorker(tmp_path, backend.endpoint, threads=4):
        _, pid = known_as_quick(backend)
        backend.listen(0.1)
        time.sleep(0.1)
        before = switches(pid)
        time.sleep(1.5)
        grown = sum(switches(pid)) - sum(before)
        assert grown < 20, "the loop shows that it lives; nothing else wakes"


@pytest.mark.parametrize("method", ["tally.quick", "tally.compute"])
def test_a_slow_run_of_a_quick_method_holds_back_neither_heartbeats_nor_other_tasks(
    backend: FakeBackend, tmp_path: Path, method: str
) -> None:
    with RunningWorker(tmp_path, backend.endpoint, threads=2):
        peer, _ = known_as_quick(backend, method)
        backend.heard.clear()
        slow = backend.task(method, seconds=1.0)
        quick = [backend.task(method) for _ in range(5)]
        began = time.monotonic()
        backend.give(peer, slow, *quick)
        assert [result.task for result in backend.results(5)] == [item.task for item in quick]
        assert time.monotonic() - began < 0.5
        for _ in range(3):
            backend.expect(wire.Heartbeat, timeout=0.5)
        assert time.monotonic() - began < 1.0, "it still runs"
        assert [result.task for result in backend.results(1)] == [slow.task]


def test_what_waits_behind_a_slow_run_of_a_quick_method_is_given_back(
    backend: FakeBackend, tmp_path: Path
) -> None:
    with RunningWorker(tmp_path, backend.endpoint, threads=1):
        peer, _ = known_as_quick(backend)
        slow = backend.task("tally.quick", seconds=1.0)
        behind = [backend.task("tally.quick") for _ in range(3)]
        backend.give(peer, slow, *behind)
        returned = backend.expect(wire.Return, timeout=0.8).items
        assert [item.task for item in returned] == [item.task for item in behind]
        assert [result.task for result in backend.results(1)] == [slow.task]


def test_four_slow_runs_go_on_at_once_wherever_they_began(
    backend: FakeBackend, tmp_path: Path
) -> None:
    with RunningWorker(tmp_path, backend.endpoint, threads=4):
        peer, _ = known_as_quick(backend)
        began = time.monotonic()
        backend.give(peer, *(backend.task("tally.quick", seconds=1.0) for _ in range(4)))
        backend.results(4)
        assert time.monotonic() - began < 2.5


def test_a_signal_during_such_a_run_drains_and_the_run_is_finished(
    backend: FakeBackend, tmp_path: Path
) -> None:
    with RunningWorker(tmp_path, backend.endpoint) as worker:
        peer, _ = known_as_quick(backend)
        backend.give(peer, backend.task("tally.quick", seconds=2.0))
        backend.expect(wire.Heartbeat)
        backend.heard.clear()
        worker.send(signal.SIGTERM)
        backend.expect(wire.Drain, timeout=1.5)
        assert not [said for _, said in backend.heard if isinstance(said, wire.Results)]
        assert [result.code for result in backend.results(1)] == [""]
        backend.expect(wire.Bye)
        assert worker.wait() == 0
        assert worker.left_behind() == []


def test_such_a_run_that_never_returns_is_answered_and_its_process_replaced(
    backend: FakeBackend, tmp_path: Path
) -> None:
    with RunningWorker(tmp_path, backend.endpoint, threads=2):
        peer, pid = known_as_quick(backend, "tally.snag")
        backend.give(peer, backend.task("tally.snag", seconds=1.0))
        assert [result.code for result in backend.results(1)] == ["task_failed"]
        eventually(lambda: backend.expect(wire.Hello).pid != pid, "another process serves")
        eventually(lambda: not psutil.pid_exists(pid), "the first process has ended")


def test_such_a_run_that_holds_the_interpreter_costs_its_process(
    backend: FakeBackend, tmp_path: Path
) -> None:
    with RunningWorker(tmp_path, backend.endpoint, stuck_ms=1000) as worker:
        peer, pid = known_as_quick(backend, "tally.hold")
        backend.give(peer, backend.task("tally.hold", seconds=1.0))
        assert backend.expect(wire.Hello).pid != pid
        assert "test/0: stood still for 1 s; killing it" in worker.said()
