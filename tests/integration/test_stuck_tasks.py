"""Tasks stuck in C with the interpreter in hand: nothing in their process can help itself."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.fabric import Fabric, eventually
from tests.support.req import Req, ask

#: Milliseconds. The broker is more patient, so that it is the supervisor who acts.
STUCK = {"stuck_ms": 1000}
BROKER = {"liveness_ms": 20_000}


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    with Fabric(BROKER) as fabric:
        yield fabric


def hog(method: str, file: Path, **more: Any) -> dict[str, Any]:
    return {"method": f"hog.{method}", "file": str(file), "meta": {}, **more}


def runs(file: Path) -> int:
    return len(file.read_text()) if file.exists() else 0


def lives(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def test_the_process_is_killed_and_all_that_it_held_is_run_elsewhere(
    fabric: Fabric, tmp_path: Path
) -> None:
    first = fabric.start_worker(threads=2, agents="hog", settings=STUCK)
    (stuck,) = fabric.pids_of(first)
    with Req(fabric.frontend) as bystander, Req(fabric.frontend) as culprit:
        bystander.send(hog("wait", tmp_path / "waits", seconds=3))
        eventually(lambda: runs(tmp_path / "waits"), "another task runs there")
        culprit.send(hog("safe", tmp_path / "hogs", harmless_after=1))
        eventually(lambda: runs(tmp_path / "hogs"), "the process is held up")
        other = fabric.start_worker(threads=2, agents="hog", settings=STUCK)
        unharmed = fabric.pids_of(other)
        replies = [culprit.receive(), bystander.receive()]
    assert [reply["success"] for reply in replies] == [0, 0]
    assert [reply["meta"]["attempts"] for reply in replies] == [2, 2]
    assert stuck not in [reply["result"] for reply in replies]
    assert not lives(stuck)
    assert fabric.pids_of(other) == unharmed
    eventually(lambda: fabric.pids_of(first), "another process has taken its place")
    said = first.log.read_text()
    assert "worker worker-1/0: stood still for 1 s; killing it" in said
    assert "in hold_the_interpreter" in said, "where it was stuck"


def test_a_task_that_sticks_wherever_it_runs_is_answered(fabric: Fabric, tmp_path: Path) -> None:
    fabric.start_worker(processes=2, agents="hog", settings=STUCK)
    reply = ask(fabric.frontend, hog("safe", tmp_path / "safe"), timeout=60)
    assert (reply["error"]["code"], reply["error"]["attempts"]) == ("task_failed", 3)
    assert reply["msg"].startswith("3 workers were lost while they held the task")
    assert runs(tmp_path / "safe") == 3
    reply = ask(fabric.frontend, hog("once", tmp_path / "once"), timeout=60)
    assert reply["error"]["code"] == "worker_lost"
    assert ask(fabric.frontend, hog("wait", tmp_path / "waits"))["success"] == 0
    assert runs(tmp_path / "once") == 1


def test_the_kernel_ends_a_stuck_process_that_has_no_supervisor_any_more(
    fabric: Fabric, tmp_path: Path
) -> None:
    supervisor = fabric.start_worker(agents="hog", settings=STUCK)
    (stuck,) = fabric.pids_of(supervisor)
    with Req(fabric.frontend) as req:
        req.send(hog("once", tmp_path / "hogs"))
        eventually(lambda: runs(tmp_path / "hogs"), "the process is held up")
        supervisor.kill()
        assert lives(stuck)
        begun = time.monotonic()
        eventually(lambda: not lives(stuck), "the process is gone", timeout=15)
        assert time.monotonic() - begun < 10
        assert req.receive()["error"]["code"] == "worker_lost"
