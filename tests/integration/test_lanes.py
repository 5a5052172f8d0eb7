"""Each host is a worker of its own, in one process: what it does to itself it does to no other."""

from __future__ import annotations

import os
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.fabric import Fabric, eventually
from tests.support.fleet import Asking, Fleet, Waiting, percentile
from tests.support.req import Req

#: Milliseconds within which a quiet host's 99th percentile is not told from noise.
NOISE = 50.0


@pytest.fixture(scope="module")
def fleet() -> Iterator[Fleet]:
    # After its grace a broker says at once that it does not know a host.
    with Fabric({"grace_ms": 100}) as fabric:
        fleet = Fleet(fabric)
        fleet.start("slow", "quick", threads=2)
        yield fleet


@pytest.fixture
def fresh() -> Iterator[Fleet]:
    with Fabric() as fabric:
        yield Fleet(fabric)


def milliseconds(req: Req, request: dict[str, object], count: int) -> list[float]:
    taken = []
    for _ in range(count):
        began = time.perf_counter()
        req.send(request)
        assert req.receive()["success"] == 0
        taken.append((time.perf_counter() - began) * 1000)
    return taken


def test_each_host_is_a_worker_of_one_process(fleet: Fleet) -> None:
    quick, slow = fleet.fabric.workers()
    assert (quick["label"], slow["label"]) == ("worker-1/0:quick", "worker-1/0:slow")
    assert (quick["hosts"], slow["hosts"]) == (["quick"], ["slow"])
    assert (quick["slots"], slow["slots"]) == (2, 2)
    assert quick["pid"] == slow["pid"]
    status = fleet.fabric.status()
    assert (status["workers"], status["processes"]) == (2, 1)


def test_a_host_whose_tasks_hang_in_all_its_slots_does_not_delay_another_one(
    fleet: Fleet, tmp_path: Path
) -> None:
    quiet, beside = [], []
    request = fleet.request("who", "quick")
    with Req(fleet.fabric.frontend) as req:
        milliseconds(req, request, 50)
        for _ in range(4):
            quiet.append(percentile(milliseconds(req, request, 150), 0.99))
            with (
                Waiting(fleet, "slow", tmp_path, 2) as hanging,
                fleet.send("who", "slow") as queued,
            ):
                beside.append(percentile(milliseconds(req, request, 150), 0.99))
                assert not queued.arrived(), "the slow one has been slow all the time"
                hanging.release()
                assert queued.receive()["success"] == 0
    assert statistics.median(beside) <= max(NOISE, 2 * statistics.median(quiet)), (quiet, beside)


def test_a_request_that_names_no_host_is_not_served_by_any(fleet: Fleet) -> None:
    reply = fleet.ask("who")
    assert reply["error"]["code"] == "invalid_params"
    assert reply["msg"] == ("hostname: missing; fleet.who is served for quick, slow; name one")
    assert fleet.ask("who", "other")["error"]["code"] == "unknown_host"


def test_a_host_that_nobody_asks_costs_one_thread(fresh: Fleet) -> None:
    def threads() -> int:
        return psutil.Process(fresh.fabric.workers()[0]["pid"]).num_threads()

    fresh.start("a", threads=4)
    one = threads()
    fresh.change("a", "b", "c", "d")
    fresh.until_served("a", "b", "c", "d")
    assert threads() == one + 3
    assert fresh.ask("who", "b")["success"] == 0
    assert threads() <= one + 3 + 4


def test_a_broker_that_comes_back_meets_all_hosts(fleet: Fleet) -> None:
    fleet.fabric.restart_broker()
    fleet.until_served("quick", "slow")
    assert [fleet.ask("who", host)["result"][0] for host in ("quick", "slow")] == ["quick", "slow"]


def test_a_drained_worker_finishes_what_all_its_hosts_have_begun(
    fresh: Fleet, tmp_path: Path
) -> None:
    worker = fresh.start("a", "b", "c", threads=2, processes=2)
    with Waiting(fresh, "a", tmp_path, 4) as of_a, Waiting(fresh, "b", tmp_path, 4) as of_b:
        told = fresh.fabric.look("worker.drain", name="worker-1/0:c")
        assert (told["name"], told["held"]) == ("worker-1", 8)
        assert told["processes"] == ["worker-1/0", "worker-1/1"]
        eventually(lambda: not fresh.served(), "no host takes any more")
        of_a.release()
        of_b.release()
        replies = [*of_a.replies(), *of_b.replies()]
    assert [reply["success"] for reply in replies] == [0] * 8
    assert worker.wait() == 0
    counters = fresh.fabric.status()["counters"]
    assert not any(counters[name] for name in ("lost_workers", "worker_lost", "redelivered"))
    for host in ("a", "b", "c"):
        assert fresh.wrote(f"teardown {host} ")


def test_sigterm_drains_all_hosts_and_a_second_one_waits_for_none(
    fresh: Fleet, tmp_path: Path
) -> None:
    worker = fresh.start("a", "b")
    with Waiting(fresh, "a", tmp_path) as of_a, Waiting(fresh, "b", tmp_path) as of_b:
        worker.send(signal.SIGTERM)
        eventually(lambda: not fresh.served(), "no host takes any more")
        of_a.release()
        assert of_a.replies()[0]["success"] == 0
        assert worker.exit_code is None
        worker.send(signal.SIGTERM)
        worker.wait()
        assert of_b.replies()[0]["error"]["code"] == "worker_lost"


def test_the_processes_of_a_killed_supervisor_finish_what_all_hosts_have_begun(
    fresh: Fleet, tmp_path: Path
) -> None:
    worker = fresh.start("a", "b")
    (pid,) = fresh.fabric.worker_pids()
    with Waiting(fresh, "a", tmp_path) as of_a, Waiting(fresh, "b", tmp_path) as of_b:
        worker.kill()
        eventually(lambda: not fresh.served(), "no host takes any more")
        of_a.release()
        of_b.release()
        assert [reply["success"] for reply in (*of_a.replies(), *of_b.replies())] == [0, 0]
    eventually(lambda: not psutil.pid_exists(pid), "the process has ended")


def test_a_host_with_a_stuck_task_has_its_process_replaced_and_nobody_notices(
    fresh: Fleet, tmp_path: Path
) -> None:
    worker = fresh.start("bad", "good", threads=2)
    (first,) = fresh.fabric.worker_pids()
    with Asking(fresh, "good") as other, Waiting(fresh, "good", tmp_path) as long:
        reply = fresh.ask("stuck", "bad")
        assert (reply["error"]["code"], reply["error"]["reason"]) == ("task_failed", "timeout")
        eventually(lambda: fresh.fabric.worker_pids() - {first}, "another process is there")
        assert fresh.ask("who", "bad")["result"][2] != first
        assert "good" in [host for w in fresh.fabric.workers() for host in w["hosts"]]
        long.release()
        assert long.replies()[0]["result"][2] == first, "what ran there has been finished"
    assert other.refused() == []
    assert "stuck (pid" in worker.log.read_text()


def test_a_process_with_many_hosts_that_stands_still_is_killed_and_replaced(fresh: Fleet) -> None:
    fresh.start("a", "b", settings={"stuck_ms": 1000})
    (first,) = fresh.fabric.worker_pids()
    os.kill(first, signal.SIGSTOP)
    eventually(lambda: not psutil.pid_exists(first), "it is killed")
    fresh.until_served("a", "b")
