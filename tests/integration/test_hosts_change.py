"""Hosts that come, go and change while a worker runs: routing follows, and nothing is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fabric import Fabric, Running, eventually
from tests.support.fleet import Asking, Fleet, Waiting


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    with Fabric() as fabric:
        yield Fleet(fabric)


def errors(worker: Running) -> list[str]:
    return [line for line in worker.log.read_text().splitlines() if " ERROR " in line]


def test_hosts_come_go_and_change_and_every_request_is_answered(fleet: Fleet) -> None:
    fleet.start("stays", "changes old", "goes", threads=2, processes=2)
    pids = fleet.fabric.worker_pids()
    with Asking(fleet, "stays") as stays, Asking(fleet, "changes", "once") as changes:
        fleet.have("stays", "changes new", "comes")
        fleet.until_served("stays", "changes", "comes", processes=2)
        assert fleet.ask("who", "comes")["result"][0] == "comes"
        assert fleet.ask("who", "changes")["result"][1] == "new"
        eventually(lambda: fleet.wrote("teardown changes old"), "the old one is torn down")
    assert stays.refused() == []
    assert changes.refused() == []
    assert [reply["result"][1] for reply in changes.replies if reply["result"][1] == "old"]
    reply = fleet.ask("who", "goes", meta={"deadline_ms": 100})
    assert reply["error"]["code"] in ("unknown_host", "deadline")
    eventually(lambda: fleet.wrote("teardown goes "), "the removed one is torn down")
    assert fleet.fabric.worker_pids() == pids, "no process was replaced"
    assert not fleet.wrote("teardown stays "), "nor what had not changed"


def test_what_a_removed_host_has_begun_is_finished_before_it_is_torn_down(
    fleet: Fleet, tmp_path: Path
) -> None:
    fleet.start("a", "b", threads=2)
    with Waiting(fleet, "b", tmp_path, 2) as running:
        fleet.change("a")
        fleet.until_served("a")
        assert not fleet.wrote("teardown b ")
        running.release()
        assert [reply["result"][0] for reply in running.replies()] == ["b", "b"]
    eventually(lambda: fleet.wrote("teardown b "), "b is torn down")
    assert fleet.ask("who")["result"][0] == "a", "one host needs no name"


def test_a_worker_without_hosts_waits_for_some(fleet: Fleet) -> None:
    worker = fleet.start(wait=False)
    eventually(lambda: "up (pid" in worker.log.read_text(), "the worker is up")
    assert fleet.served() == []
    fleet.change("first")
    fleet.until_served("first")


def test_a_flood_of_reloads_is_one(fleet: Fleet) -> None:
    fleet.start("a")
    (pid,) = fleet.fabric.worker_pids()
    fleet.have("a", "b")
    for _ in range(20_000):
        os.kill(pid, signal.SIGHUP)
    fleet.until_served("a", "b")
    assert fleet.fabric.worker_pids() == {pid}
    assert len(fleet.diary.read_text().splitlines()) == 2, "each is set up once"


def test_a_reload_that_fails_is_told_once_and_sighup_has_it_tried_again(
    fleet: Fleet, tmp_path: Path
) -> None:
    worker = fleet.start("a")
    with Waiting(fleet, "a", tmp_path) as running:
        fleet.have("a", "b", "wrong sort")
        eventually(lambda: errors(worker), "it is complained of")
        worker.send(signal.SIGHUP)
        eventually(lambda: len(errors(worker)) == 2, "it is tried, and complained of again")
        fleet.have("a", "c broken", "d")
        worker.send(signal.SIGHUP)
        fleet.until_served("a", "d")
        running.release()
        assert running.replies()[0]["success"] == 0
    wrong, still_wrong, broken = errors(worker)
    sentence = "agent fleet: its hosts stay as they are: agents.fleet: sort is wrong"
    assert wrong.endswith(sentence)
    assert still_wrong.endswith(sentence)
    assert broken.endswith("host c is not served: agent fleet: setup failed: OSError: no route")
    assert fleet.fabric.worker_pids()


def test_to_be_torn_down_for_long_is_not_to_stand_still(fleet: Fleet) -> None:
    worker = fleet.start("a lingers", settings={"stuck_ms": 1000})
    worker.send(signal.SIGTERM)
    assert worker.wait() == 0
    assert fleet.wrote("teardown a lingers")
    assert "stood still" not in worker.log.read_text()
