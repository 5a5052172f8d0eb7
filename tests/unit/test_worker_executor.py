"""What is to be run, and where: jobs and places, without threads."""

from __future__ import annotations

import sys

import pytest

from tests.support.core_rig import task
from vpoller_like.protocol.reply import parse_reply
from vpoller_like.worker.events import Finished, Started
from vpoller_like.worker.executor import Executor
from vpoller_like.worker.run import Run


class Outcome:
    def __init__(self, body: bytes) -> None:
        self.code = ""
        self.body = body


class Mute:
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Host:
    """Returns each body as its answer, and looks at the executor meanwhile."""

    def __init__(self) -> None:
        self.executor: Executor | None = None
        self.most = 0
        self.started: list[Started] = []

    def execute(self, body: bytes, max_reply: int) -> Outcome:
        self.most = max_reply
        if body == b"raise":
            raise RuntimeError("boom")
        if body == b"exit":
            sys.exit(3)
        if body == b"odd exit":
            sys.exit("no \udcff")
        if body == b"mute exit":
            sys.exit(Mute())  # type: ignore[arg-type]
        progress = None if self.executor is None else self.executor.progress()
        self.started.extend(progress.started if progress else [])
        return Outcome(body)


def job(key: int, body: bytes = b"x", brief: bool = False) -> Run:
    """Return a job with this key."""
    return Run(key, task(key, body=body), [], 0.0, brief)


def run_next(executor: Executor) -> Finished:
    """Run the job that has waited longest, in a free place, and return what came of it."""
    place, first = executor.take_place(), executor.next()
    assert place is not None
    assert first is not None
    executor.run(place, first)
    executor.leave_place(place)
    progress = executor.progress()
    assert progress is not None
    (finished,) = progress.finished
    assert progress.started == []
    return finished


def test_a_job_is_run_and_its_answer_reported() -> None:
    host = Host()
    executor = Executor(host, 1, 1234)
    executor.submit([job(7, b"hello")])
    finished = run_next(executor)
    assert (finished.key, finished.code, finished.body) == (7, "", b"hello")
    assert 0 <= finished.ran_us < 10e6
    assert host.most == 1234
    assert executor.progress() is None


def test_jobs_are_handed_out_in_their_order() -> None:
    executor = Executor(Host(), 1, 10)
    jobs = [job(1), job(2, brief=True), job(3)]
    executor.submit(jobs[:1])
    executor.submit(jobs[1:])
    assert [executor.next() for _ in range(4)] == [*jobs, None]


def test_there_are_as_many_places_as_asked_for() -> None:
    executor = Executor(Host(), 2, 10)
    places = [executor.take_place() for _ in range(3)]
    assert sorted(place for place in places if place is not None) == [0, 1]
    assert places[2] is None
    executor.leave_place(1)
    assert executor.take_place() == 1


def test_it_is_ready_while_a_job_waits_and_a_place_is_free() -> None:
    executor = Executor(Host(), 1, 10)
    assert not executor.is_ready
    executor.submit([job(1)])
    assert executor.is_ready
    place = executor.take_place()
    assert not executor.is_ready
    assert place is not None
    executor.leave_place(place)
    assert executor.is_ready


def test_what_runs_is_reported_once() -> None:
    host = Host()
    host.executor = executor = Executor(host, 1, 10, lambda: 5.0)
    executor.submit([job(3)])
    run_next(executor)
    assert host.started == [Started(3, 5.0)]


def test_what_nobody_has_taken_comes_back() -> None:
    executor = Executor(Host(), 1, 10)
    executor.submit([job(key) for key in range(1, 6)])
    executor.next()
    assert executor.take_back([1, 2, 4, 9]) == [2, 4]
    assert [left.key for left in iter(executor.next, None)] == [3, 5]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"raise", "RuntimeError: boom"),
        (b"exit", "SystemExit: 3"),
        (b"odd exit", "SystemExit: no \\udcff"),
        (b"mute exit", "SystemExit: it cannot say why"),
    ],
)
def test_whatever_a_job_raises_is_its_answer(body: bytes, said: str) -> None:
    executor = Executor(Host(), 1, 10)
    executor.submit([job(1, body), job(2, b"next")])
    first = run_next(executor)
    assert first.code == "task_failed"
    reply = parse_reply(first.body)
    assert said in reply["msg"]
    assert reply["error"]["code"] == "task_failed"
    assert run_next(executor).body == b"next"
