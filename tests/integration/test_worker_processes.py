"""A worker's supervisor and its processes: how they start, die and end."""

from __future__ import annotations

import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fake_backend import FakeBackend
from tests.support.running_worker import AGENTS, RunningWorker, eventually
from vpoller_like.config import Settings, WorkerSettings
from vpoller_like.protocol import worker as wire
from vpoller_like.worker import Patience, Supervisor


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend() as fake:
        yield fake


def test_there_are_as_many_processes_as_asked_for(backend: FakeBackend, tmp_path: Path) -> None:
    with RunningWorker(tmp_path, backend.endpoint, processes=3, threads=2) as worker:
        hellos = [backend.expect(wire.Hello) for _ in range(3)]
        assert sorted(hello.label for hello in hellos) == ["test/0", "test/1", "test/2"]
        assert {hello.pid for hello in hellos} == set(worker.children())
        assert {hello.slots for hello in hellos} == {2}
        assert len({hello.instance for hello in hellos}) == 3


def test_sigterm_lets_running_tasks_finish_and_leaves_no_process(
    backend: FakeBackend, tmp_path: Path
) -> None:
    with RunningWorker(tmp_path, backend.endpoint, processes=2) as worker:
        peer, _ = backend.expect_from(wire.Hello)
        # One that is not up yet just ends.
        backend.expect(wire.Hello)
        mark = tmp_path / "mark"
        backend.give(peer, backend.task("tally.run", file=str(mark), seconds=1.5))
        eventually(mark.exists, "the task runs")
        worker.send(signal.SIGTERM)
        for _ in range(2):
            backend.expect(wire.Drain)
        (result,) = backend.results(1)
        assert result.code == ""
        for _ in range(2):
            backend.expect(wire.Bye)
        assert worker.wait() == 0
        assert worker.left_behind() == []


def test_sigint_to_the_whole_group_drains_too(backend: FakeBackend, tmp_path: Path) -> None:
    with RunningWorker(tmp_path, backend.endpoint) as worker:
        peer, hello = backend.expect_from(wire.Hello)
        backend.give(peer, backend.task("tally.quick", seconds=1.0))
        backend.expect(wire.Heartbeat)
        os.kill(hello.pid, signal.SIGINT)
        worker.send(signal.SIGINT)
        assert backend.results(1)[0].code == ""
        assert worker.wait() == 0


def test_a_second_sigterm_ends_at_once(backend: FakeBackend, tmp_path: Path) -> None:
    with RunningWorker(tmp_path, backend.endpoint) as worker:
        peer, _ = backend.expect_from(wire.Hello)
        backend.give(peer, backend.task("tally.quick", seconds=25.0))
        backend.expect(wire.Heartbeat)
        worker.send(signal.SIGTERM)
        backend.expect(wire.Drain)
        worker.send(signal.SIGTERM)
        began = time.monotonic()
        worker.wait()
        assert time.monotonic() - began < 15
        assert worker.left_behind() == []


def test_tasks_may_take_no_longer_to_drain_than_is_configured(
    backend: FakeBackend, tmp_path: Path
) -> None:
    with RunningWorker(tmp_path, backend.endpoint, drain_ms=500) as worker:
        peer, _ = backend.expect_from(wire.Hello)
        backend.give(peer, backend.task("tally.quick", seconds=25.0))
        backend.expect(wire.Heartbeat)
        worker.send(signal.SIGTERM)
        began = time.monotonic()
        worker.wait()
        assert time.monotonic() - began < 15
        assert worker.left_behind() == []


def test_processes_end_by_themselves_when_the_supervisor_is_killed(
    backend: FakeBackend, tmp_path: Path
) -> None:
    with RunningWorker(tmp_path, backend.endpoint, processes=2) as worker:
        peer, _ = backend.expect_from(wire.Hello)
        backend.expect(wire.Hello)
        backend.give(peer, backend.task("tally.quick", seconds=1.0))
        backend.expect(wire.Heartbeat)
        assert len(worker.children()) == 2
        worker.send(signal.SIGKILL)
        assert backend.results(1)[0].code == "", "what runs is finished"
        eventually(lambda: not worker.left_behind(), "the processes have ended")


def test_processes_that_are_starting_end_when_the_supervisor_is_killed(
    backend: FakeBackend, tmp_path: Path
) -> None:
    with RunningWorker(tmp_path, backend.endpoint, processes=2) as worker:
        eventually(lambda: len(worker.children()) == 2, "the processes are started")
        worker.send(signal.SIGKILL)
        eventually(lambda: not worker.left_behind(), "the processes have ended")


def test_a_supervisor_asked_to_end_while_its_processes_start_leaves_none(
    backend: FakeBackend, tmp_path: Path
) -> None:
    with RunningWorker(tmp_path, backend.endpoint, processes=2) as worker:
        eventually(lambda: "started" in worker.said(), "a process is started")
        worker.send(signal.SIGTERM)
        assert worker.wait() == 0
        assert worker.left_behind() == []


def test_a_process_that_dies_is_started_again(backend: FakeBackend, tmp_path: Path) -> None:
    with RunningWorker(tmp_path, backend.endpoint) as worker:
        first = backend.expect(wire.Hello)
        os.kill(first.pid, signal.SIGKILL)
        second = backend.expect(wire.Hello)
        assert second.label == first.label
        assert (second.pid, second.instance) != (first.pid, first.instance)
        assert "test/0: died (SIGKILL)" in worker.said()


def test_a_process_that_dies_again_and_again_is_started_less_and_less_often(
    backend: FakeBackend, tmp_path: Path
) -> None:
    with RunningWorker(tmp_path, backend.endpoint):
        gaps = []
        for _ in range(5):
            hello = backend.expect(wire.Hello)
            os.kill(hello.pid, signal.SIGKILL)
            gaps.append(time.monotonic())
        waits = [later - earlier for earlier, later in itertools.pairwise(gaps)]
        # The fourth pause is 1.6 s, of which chance takes half at the most.
        assert waits[3] > 0.8


def test_a_process_that_ends_unasked_is_started_again(backend: FakeBackend, tmp_path: Path) -> None:
    with RunningWorker(tmp_path, backend.endpoint):
        peer, first = backend.expect_from(wire.Hello)
        backend.give(peer, backend.task("tally.quit"))
        assert backend.expect(wire.Hello).pid != first.pid


def test_one_process_dying_does_not_disturb_another(backend: FakeBackend, tmp_path: Path) -> None:
    with RunningWorker(tmp_path, backend.endpoint, processes=2):
        (here, _), (_, doomed) = (backend.expect_from(wire.Hello) for _ in range(2))
        backend.give(here, backend.task("tally.quick", seconds=0.5))
        os.kill(doomed.pid, signal.SIGKILL)
        assert backend.results(1)[0].code == ""


def test_a_task_that_never_returns_is_answered_and_its_process_replaced(
    backend: FakeBackend, tmp_path: Path
) -> None:
    with RunningWorker(tmp_path, backend.endpoint, threads=2) as worker:
        peer, first = backend.expect_from(wire.Hello)
        backend.give(peer, backend.task("tally.stuck"), backend.task("tally.quick", seconds=3.0))
        (result,) = backend.results(1)
        assert (result.task, result.code) == (1, "task_failed")
        error = json.loads(result.body)["error"]
        assert (error["reason"], error["timeout_ms"]) == ("timeout", 1000)
        second = backend.expect(wire.Hello)
        assert second.pid != first.pid
        assert second.label == first.label
        assert first.pid in worker.children(), "what else runs there is finished"
        (other,) = backend.results(1)
        assert (other.task, other.code) == (2, "")
        eventually(lambda: worker.children() == [second.pid], "the stuck process is gone")


def test_a_process_whose_loop_stands_still_is_killed_and_replaced(
    backend: FakeBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(AGENTS))
    worker = WorkerSettings(backends=[backend.endpoint], agents=["tally"], processes=1, threads=1)
    supervisor = Supervisor(Settings(worker=worker), Patience(beat=4.0))
    thread = threading.Thread(target=supervisor.run)
    thread.start()
    try:
        first = backend.expect(wire.Hello)
        eventually(lambda: first.pid in supervisor.pids, "the process is known")
        os.kill(first.pid, signal.SIGSTOP)
        second = backend.expect(wire.Hello)
        assert second.pid != first.pid
        eventually(lambda: list(supervisor.pids) == [second.pid], "the first is gone")
    finally:
        supervisor.stop()
        thread.join()
    assert supervisor.pids == {}


def test_a_broker_can_end_a_worker(backend: FakeBackend, tmp_path: Path) -> None:
    with RunningWorker(tmp_path, backend.endpoint, processes=2) as worker:
        for peer, _ in [backend.expect_from(wire.Hello) for _ in range(2)]:
            backend.say(peer, wire.Shutdown())
        assert worker.wait() == 0
        assert worker.left_behind() == []


def test_a_broker_that_ends_one_process_ends_the_whole_worker(
    backend: FakeBackend, tmp_path: Path
) -> None:
    """Else a process that was just being started again would stay."""
    with RunningWorker(tmp_path, backend.endpoint, processes=3) as worker:
        peer, _ = backend.expect_from(wire.Hello)
        for _ in range(2):
            backend.expect(wire.Hello)
        mark = tmp_path / "mark"
        backend.give(peer, backend.task("tally.run", file=str(mark), seconds=2.0))
        eventually(mark.exists, "the task runs")
        backend.say(peer, wire.Shutdown())
        for _ in range(3):
            backend.expect(wire.Drain)
        # The first signal is no reason to end at once: that is what it asks for, too.
        worker.send(signal.SIGTERM)
        assert backend.results(1)[0].code == ""
        assert worker.wait() == 0
        assert worker.left_behind() == []


def test_an_agent_that_is_not_installed_ends_the_worker_with_a_sentence(
    backend: FakeBackend, tmp_path: Path
) -> None:
    with RunningWorker(tmp_path, backend.endpoint, agents=["tall"], processes=2) as worker:
        assert worker.wait() == 1
        (line,) = [line for line in worker.said().splitlines() if line.startswith("ERROR")]
        assert line.startswith("ERROR agent tall is not installed; did you mean tally?")


def agent(place: Path, name: str, source: str) -> Path:
    """Return a directory with an agent as if it were installed there."""
    path = place / "path"
    (path / f"{name}_agent").mkdir(parents=True)
    (path / f"{name}_agent" / "__init__.py").write_text(source)
    info = path / f"{name}-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
    entry = f"{name} = {name}_agent:{name.title()}Agent"
    (info / "entry_points.txt").write_text(f"[vpoller_like.agents]\n{entry}\n")
    return path


def test_tasks_see_the_environment_that_the_user_had(backend: FakeBackend, tmp_path: Path) -> None:
    with RunningWorker(tmp_path, backend.endpoint) as worker:
        peer, _ = backend.expect_from(wire.Hello)
        backend.give(peer, backend.task("tally.pythonpath"))
        (result,) = backend.results(1)
        assert json.loads(result.body)["result"] == worker.pythonpath


FAILS = """
import os, pathlib
from vpoller_like.agent import Agent, task
class FailsAgent(Agent):
    name = 'fails'
    def setup(self):
        mark = pathlib.Path(__file__).with_name('up')
        if mark.exists():
            raise RuntimeError('no such vCenter')
        mark.touch()
    @task('fails.quit')
    def quit(self, msg):
        os._exit(0)
"""


def test_agents_that_cannot_be_set_up_later_are_tried_again_and_again(
    backend: FakeBackend, tmp_path: Path
) -> None:
    path = agent(tmp_path, "fails", FAILS)
    with RunningWorker(tmp_path, backend.endpoint, agents=["fails"], path=path) as worker:
        peer, _ = backend.expect_from(wire.Hello)
        backend.give(peer, backend.task("fails.quit"))
        eventually(lambda: worker.said().count("no such vCenter; next try in") > 1, "two tries")
        (path / "fails_agent" / "up").unlink()
        backend.expect(wire.Hello)


def test_ctrl_c_does_not_reach_a_process_that_is_just_starting(
    backend: FakeBackend, tmp_path: Path
) -> None:
    """The terminal signals it before it has come so far as to ignore that."""
    with RunningWorker(tmp_path, backend.endpoint, processes=1) as worker:
        eventually(lambda: worker.children(), "the process is started")
        (pid,) = worker.children()
        os.kill(pid, signal.SIGINT)
        assert backend.expect(wire.Hello).pid == pid
        assert "Traceback" not in worker.said()
        blocked = next(
            line
            for line in Path(f"/proc/{pid}/status").read_text().splitlines()
            if line.startswith("SigBlk:")
        )
        assert not int(blocked.split()[1], 16) & 1 << (signal.SIGINT - 1)
