"""What the whole promises, seen on real processes: a broker, workers, and what befalls them."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.fabric import Fabric, eventually
from tests.support.req import Dealer, Req, ask, ask_all
from vpoller_like.client import VPollerClient

Envelope = dict[str, Any]
Asked = Callable[..., "Future[Envelope]"]


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    with Fabric() as fabric:
        yield fabric


@pytest.fixture
def traces(tmp_path: Path) -> Path:
    """Return the file in which ``probe.count`` leaves a line for each run."""
    return tmp_path / "traces"


@pytest.fixture
def asked() -> Iterator[Asked]:
    """Return a way to run a request from another thread by the Python client."""
    with ThreadPoolExecutor() as pool:

        def run(message: Envelope, *endpoints: str, timeout: float, retries: int) -> Any:
            def call() -> Envelope:
                with VPollerClient(list(endpoints), timeout=timeout, retries=retries) as client:
                    return client.run(message)

            return pool.submit(call)

        yield run


def _count(traces: Path, seconds: float, safe: bool = False, **more: Any) -> Envelope:
    method = "probe.count.safe" if safe else "probe.count"
    return {"method": method, "file": str(traces), "seconds": seconds, **more}


def _runs(traces: Path) -> list[int]:
    """Return the process id of every run that has begun."""
    return [int(line) for line in traces.read_text().split()] if traces.exists() else []


def _alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


QUICK = {"method": "probe.quick"}


# Work goes to who is free -----------------------------------------------------------------


def test_quick_requests_pass_a_busy_worker(fabric: Fabric, traces: Path) -> None:
    fabric.start_worker(processes=2, threads=1)
    with Req(fabric.frontend) as slow:
        slow.send(_count(traces, 3))
        eventually(lambda: _runs(traces), "one worker is busy")
        begun = time.monotonic()
        replies = ask_all(fabric.frontend, [QUICK] * 10)
        elapsed = time.monotonic() - begun
        assert not slow.arrived()
        assert [reply["success"] for reply in replies] == [0] * 10
        assert {reply["result"] for reply in replies}.isdisjoint(_runs(traces))
        assert elapsed < 1.5
        assert slow.receive()["success"] == 0


class Stream:
    """Keeps requests outstanding at a broker from a thread of its own, until it is left."""

    def __init__(self, endpoint: str, outstanding: int) -> None:
        self._endpoint, self._outstanding = endpoint, outstanding
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.replies = 0
        self.failures: list[Envelope] = []
        #: Seconds that the slowest reply has taken.
        self.longest = 0.0

    def _run(self) -> None:
        with Dealer(self._endpoint) as dealer:
            sent: dict[int, float] = {}
            number = 0
            while sent or not self._over.is_set():
                while len(sent) < self._outstanding and not self._over.is_set():
                    sent[number] = time.monotonic()
                    dealer.send(number, QUICK)
                    number += 1
                if sent:
                    self._take(dealer, sent)

    def _take(self, dealer: Dealer, sent: dict[int, float]) -> None:
        number, reply = dealer.receive()
        self.longest = max(self.longest, time.monotonic() - sent.pop(number))
        self.replies += 1
        if reply["success"]:
            self.failures.append(reply)

    def __enter__(self) -> Stream:
        self._thread.start()
        return self

    def __exit__(self, *fault: object) -> None:
        self._over.set()
        self._thread.join()


def test_a_worker_holds_several_quick_tasks_at_a_time(fabric: Fabric) -> None:
    fabric.start_worker(processes=2, threads=1)
    with Stream(fabric.frontend, outstanding=64) as stream:
        eventually(
            lambda: any(worker["held"] > worker["slots"] == 1 for worker in fabric.workers()),
            "a worker of one slot holds more than one task",
        )
    assert stream.replies > 0
    assert not stream.failures


def test_what_waits_behind_a_slow_task_is_given_back(fabric: Fabric) -> None:
    fabric.start_worker(processes=2, threads=1)
    with Stream(fabric.frontend, outstanding=64) as stream:
        eventually(
            lambda: all(worker["ahead"] > 0 for worker in fabric.workers()),
            "both workers take tasks ahead",
        )
        # Of the same method: nothing tells beforehand that it is slow.
        slow = ask(fabric.frontend, {**QUICK, "seconds": 3})
    assert slow["success"] == 0
    assert not stream.failures
    assert stream.longest < 2.5
    assert sum(worker["returned"] for worker in fabric.workers()) > 0


# A worker dies ----------------------------------------------------------------------------


def test_a_killed_workers_tasks_are_answered_by_the_other(fabric: Fabric, traces: Path) -> None:
    fabric.start_worker(processes=2, threads=1)
    reqs = [Req(fabric.frontend) for _ in range(22)]
    for req in reqs:
        req.send(_count(traces, 0.2, safe=True))
    eventually(lambda: len(set(_runs(traces))) == 2, "both workers are busy")
    victim = _runs(traces)[0]
    os.kill(victim, signal.SIGKILL)
    replies = [req.receive() for req in reqs]
    for req in reqs:
        req.close()
    assert [reply["success"] for reply in replies] == [0] * 22
    assert len({reply["result"]["run"] for reply in replies}) == 22


def test_a_task_that_may_not_run_twice_is_worker_lost(fabric: Fabric, traces: Path) -> None:
    fabric.start_worker(processes=2, threads=1)
    with Req(fabric.frontend) as req:
        req.send(_count(traces, 60))
        (victim,) = eventually(lambda: _runs(traces), "the task runs")
        os.kill(victim, signal.SIGKILL)
        begun = time.monotonic()
        reply = req.receive()
    assert reply["error"]["code"] == "worker_lost"
    assert not reply["error"]["retryable"]
    assert time.monotonic() - begun < 6
    assert _runs(traces) == [victim]


def test_a_dead_worker_process_is_replaced(fabric: Fabric) -> None:
    supervisor = fabric.start_worker(processes=2, threads=1)
    before = fabric.pids_of(supervisor)
    victim = min(before)
    os.kill(victim, signal.SIGKILL)
    eventually(
        lambda: len(now := fabric.pids_of(supervisor)) == 2 and victim not in now,
        "another process serves in its place",
    )
    assert ask(fabric.frontend, QUICK)["success"] == 0


def test_a_task_that_never_returns_is_answered_and_its_process_replaced(fabric: Fabric) -> None:
    fabric.start_worker(processes=1, threads=1)
    (stuck,) = fabric.worker_pids()
    reply = ask(fabric.frontend, {"method": "probe.stuck"})
    assert reply["error"]["code"] == "task_failed"
    assert reply["error"]["reason"] == "timeout"
    assert ask(fabric.frontend, QUICK)["result"] != stuck
    eventually(lambda: not _alive(stuck), "the stuck process is gone")


# The broker dies --------------------------------------------------------------------------


@pytest.mark.parametrize("seconds_away", [0, 3])
def test_a_retry_at_a_restarted_broker_gets_the_one_run(
    fabric: Fabric, traces: Path, asked: Asked, seconds_away: float
) -> None:
    fabric.start_worker(processes=2, threads=1)
    answer = asked(_count(traces, 2), fabric.frontend, timeout=1000, retries=20)
    eventually(lambda: _runs(traces), "the task runs")
    fabric.kill_broker()
    time.sleep(seconds_away)
    fabric.start_broker()
    reply = answer.result(timeout=40)
    assert reply["success"] == 0, reply
    assert _runs(traces) == [reply["result"]["pid"]]


def test_an_answered_id_is_answered_alike_by_a_restarted_broker(
    fabric: Fabric, traces: Path
) -> None:
    fabric.start_worker(processes=2, threads=1)
    first = ask(fabric.frontend, _count(traces, 0, meta={"id": "once", "age_ms": 0}))
    assert first["success"] == 0
    fabric.restart_broker()
    time.sleep(6)
    # Its age is not said: a client that was itself restarted does not know it.
    second = ask(fabric.frontend, _count(traces, 0, meta={"id": "once"}))
    assert second["result"] == first["result"]
    assert _runs(traces) == [first["result"]["pid"]]


def test_a_retry_at_another_broker_gets_the_one_run(
    fabric: Fabric, traces: Path, asked: Asked
) -> None:
    with Fabric() as other:
        fabric.start_worker(processes=2, threads=1, backends=[fabric.backend, other.backend])
        eventually(lambda: len(other.workers()) == 2, "the workers serve the other broker too")
        answer = asked(_count(traces, 3), fabric.frontend, other.frontend, timeout=1000, retries=20)
        eventually(lambda: _runs(traces), "the task runs")
        fabric.kill_broker()
        reply = answer.result(timeout=40)
    assert reply["success"] == 0, reply
    assert _runs(traces) == [reply["result"]["pid"]]


def test_another_body_under_a_used_id_is_refused(fabric: Fabric, traces: Path) -> None:
    fabric.start_worker()
    meta = {"id": "mine", "age_ms": 0}
    ask(fabric.frontend, _count(traces, 0, meta=meta))
    reply = ask(fabric.frontend, _count(traces, 0.1, meta=meta))
    assert reply["error"]["code"] == "id_reused"
    assert len(_runs(traces)) == 1


# Ending -----------------------------------------------------------------------------------


def test_a_broker_told_to_end_answers_what_runs_first(fabric: Fabric, traces: Path) -> None:
    fabric.start_worker()
    with Req(fabric.frontend) as running, Req(fabric.frontend) as late:
        running.send(_count(traces, 2))
        eventually(lambda: _runs(traces), "the task runs")
        fabric.broker.send(signal.SIGTERM)
        eventually(lambda: fabric.status()["draining"], "the broker drains")
        late.send(QUICK)
        assert late.receive()["error"]["code"] == "shutting_down"
        assert running.receive()["success"] == 0
    assert fabric.broker.wait() == 0
    assert not _alive(fabric.broker_pid)


def test_a_second_signal_ends_a_busy_broker_at_once(fabric: Fabric, traces: Path) -> None:
    fabric.start_worker()
    with Req(fabric.frontend) as running:
        running.send(_count(traces, 6))
        eventually(lambda: _runs(traces), "the task runs")
        fabric.broker.send(signal.SIGTERM)
        eventually(lambda: fabric.status()["draining"], "the broker drains")
        fabric.broker.send(signal.SIGTERM)
        assert running.receive(timeout=4)["error"]["code"] == "worker_lost"
    fabric.broker.wait()


def test_a_worker_told_to_end_answers_what_runs_first(fabric: Fabric, traces: Path) -> None:
    supervisor = fabric.start_worker(processes=2, threads=1)
    processes = [supervisor.pid, *supervisor.children()]
    with Req(fabric.frontend) as one, Req(fabric.frontend) as two:
        one.send(_count(traces, 2))
        two.send(_count(traces, 2))
        eventually(lambda: len(_runs(traces)) == 2, "both workers are busy")
        supervisor.send(signal.SIGTERM)
        assert [one.receive()["success"], two.receive()["success"]] == [0, 0]
    assert supervisor.wait() == 0
    assert not [pid for pid in processes if _alive(pid)]
    eventually(lambda: not fabric.workers(), "the broker knows of no worker")


def test_a_draining_workers_queued_tasks_go_to_another(fabric: Fabric, traces: Path) -> None:
    leaving = fabric.start_worker()
    reqs = [Req(fabric.frontend) for _ in range(8)]
    for req in reqs:
        req.send(_count(traces, 0.5))
    eventually(lambda: _runs(traces), "the task runs")
    leaving.send(signal.SIGTERM)
    fabric.start_worker()
    replies = [req.receive() for req in reqs]
    for req in reqs:
        req.close()
    assert [reply["success"] for reply in replies] == [0] * 8
    assert len(_runs(traces)) == 8
    assert leaving.wait() == 0


def test_worker_processes_end_with_a_killed_supervisor(fabric: Fabric) -> None:
    supervisor = fabric.start_worker(processes=2, threads=1)
    children = supervisor.children()
    assert len(children) >= 2
    supervisor.kill()
    eventually(lambda: not [pid for pid in children if _alive(pid)], "the processes have ended too")
