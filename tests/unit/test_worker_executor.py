"""The threads that run tasks."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from vpoller_like.protocol.reply import parse_reply
from vpoller_like.worker.events import Finished, Started
from vpoller_like.worker.executor import Executor

PATIENCE = 10.0


class Outcome:
    def __init__(self, body: bytes) -> None:
        self.code = ""
        self.body = body


class Host:
    """Returns each body as its answer; ``wait-x`` waits until ``x`` is released."""

    def __init__(self) -> None:
        self.gates: dict[bytes, threading.Event] = {}
        self.ran: list[bytes] = []
        self.most = 0

    def gate(self, body: bytes) -> threading.Event:
        return self.gates.setdefault(body, threading.Event())

    def execute(self, body: bytes, max_reply: int) -> Outcome:
        self.ran.append(body)
        self.most = max_reply
        if body.startswith(b"wait"):
            self.gate(body).wait(PATIENCE)
        if body == b"raise":
            raise RuntimeError("boom")
        if body == b"exit":
            sys.exit(3)
        return Outcome(body)


class Desk:
    """One executor, and all that it has reported."""

    def __init__(self, threads: int) -> None:
        self.host = Host()
        self.woken = threading.Event()
        self.executor = Executor(self.host, threads, 1234, self.woken.set)
        self.started: list[Started] = []
        self.finished: list[Finished] = []

    def look(self) -> None:
        progress = self.executor.progress()
        if progress is not None:
            self.started.extend(progress.started)
            self.finished.extend(progress.finished)

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            self.look()
            if holds():
                return
            assert time.monotonic() < deadline, (self.started, self.finished)
            time.sleep(0.001)

    def until_finished(self, *keys: int) -> None:
        self.until(lambda: {item.key for item in self.finished} >= set(keys))


@pytest.fixture
def make() -> Iterator[Callable[[int], Desk]]:
    desks: list[Desk] = []

    def make_one(threads: int = 1) -> Desk:
        desk = Desk(threads)
        desk.executor.start()
        desks.append(desk)
        return desk

    yield make_one
    for desk in desks:
        for gate in desk.host.gates.values():
            gate.set()
        desk.executor.stop()


def test_a_job_is_run_and_its_answer_reported(make: Callable[[int], Desk]) -> None:
    desk = make(1)
    desk.executor.submit(7, b"hello")
    desk.until_finished(7)
    (finished,) = desk.finished
    assert (finished.code, finished.body) == ("", b"hello")
    assert 0 <= finished.ran_us < PATIENCE * 1e6
    assert desk.host.most == 1234


def test_jobs_are_run_in_their_order(make: Callable[[int], Desk]) -> None:
    desk = make(1)
    bodies = [b"%d" % number for number in range(100)]
    for key, body in enumerate(bodies):
        desk.executor.submit(key, body)
    desk.until_finished(*range(100))
    assert desk.host.ran == bodies
    assert [item.key for item in desk.finished] == list(range(100))


def test_as_many_jobs_run_at_once_as_there_are_threads(make: Callable[[int], Desk]) -> None:
    desk = make(3)
    for key in range(4):
        desk.executor.submit(key, b"wait-%d" % key)
    desk.until(lambda: len(desk.started) == 3)
    assert {item.key for item in desk.started} == {0, 1, 2}
    desk.host.gate(b"wait-1").set()
    desk.until(lambda: len(desk.started) == 4)
    assert [item.key for item in desk.finished] == [1]


def test_a_start_is_reported_once(make: Callable[[int], Desk]) -> None:
    desk = make(1)
    desk.executor.submit(1, b"wait")
    desk.until(lambda: len(desk.started) == 1)
    desk.look()
    desk.look()
    assert len(desk.started) == 1


def test_what_no_thread_has_taken_comes_back(make: Callable[[int], Desk]) -> None:
    desk = make(1)
    desk.executor.submit(1, b"wait")
    desk.until(lambda: len(desk.started) == 1)
    for key in (2, 3, 4):
        desk.executor.submit(key, b"%d" % key)
    assert desk.executor.take_back([1, 2, 4, 9]) == [2, 4]
    desk.host.gate(b"wait").set()
    desk.until_finished(3)
    assert desk.host.ran == [b"wait", b"3"]


def test_a_quick_result_is_seen_while_a_slow_job_runs_behind_it(
    make: Callable[[int], Desk],
) -> None:
    desk = make(1)
    desk.executor.submit(1, b"quick")
    desk.executor.submit(2, b"wait")
    desk.until_finished(1)
    desk.until(lambda: [item.key for item in desk.started][-1:] == [2])
    assert [item.key for item in desk.finished] == [1]


def test_once_a_job_is_seen_to_run_the_one_before_it_is_reported(
    make: Callable[[int], Desk],
) -> None:
    desk = make(2)
    key = 0
    for _ in range(300):
        batch = range(key, key + 6)
        for key in batch:
            desk.executor.submit(key, b"x")
        while len(desk.finished) <= key:
            progress = desk.executor.progress()
            if progress is None:
                continue
            desk.finished.extend(progress.finished)
            done = {item.key for item in desk.finished}
            # Two threads, first in, first out: all but the two latest are over.
            for started in progress.started:
                late = [k for k in range(batch.start, started.key - 1) if k not in done]
                assert len(late) <= 1, (started, late)
        key += 1


def test_the_loop_is_woken_when_nothing_more_is_to_be_done(make: Callable[[int], Desk]) -> None:
    desk = make(1)
    desk.executor.submit(1, b"x")
    assert desk.woken.wait(PATIENCE)
    desk.until_finished(1)


def test_the_loop_is_woken_for_each_job_that_comes_alone(make: Callable[[int], Desk]) -> None:
    desk = make(1)
    for key in range(50):
        desk.executor.submit(key, b"x")
        assert desk.woken.wait(PATIENCE), key
        desk.woken.clear()


def test_what_is_over_is_not_reported_to_run(make: Callable[[int], Desk]) -> None:
    desk = make(1)
    desk.executor.submit(1, b"x")
    assert desk.woken.wait(PATIENCE)
    desk.look()
    assert [item.key for item in desk.finished] == [1]
    assert desk.started == []


def test_quick_jobs_do_not_wake_the_loop_each(make: Callable[[int], Desk]) -> None:
    desk = make(1)
    wakes: list[float] = []
    executor = Executor(desk.host, 1, 10, lambda: wakes.append(time.monotonic()))
    for key in range(2000):
        executor.submit(key, b"x")
    executor.start()
    done = 0
    deadline = time.monotonic() + PATIENCE
    while done < 2000 and time.monotonic() < deadline:
        progress = executor.progress()
        done += len(progress.finished) if progress else 0
    executor.stop()
    assert done == 2000
    assert len(wakes) < 1000


@pytest.mark.parametrize(
    ("body", "said"), [(b"raise", "RuntimeError: boom"), (b"exit", "SystemExit: 3")]
)
def test_whatever_a_job_raises_is_its_answer_and_the_thread_goes_on(
    make: Callable[[int], Desk], body: bytes, said: str
) -> None:
    desk = make(1)
    desk.executor.submit(1, body)
    desk.executor.submit(2, b"next")
    desk.until_finished(1, 2)
    first, second = desk.finished
    assert first.code == "task_failed"
    reply = parse_reply(first.body)
    assert said in reply["msg"]
    assert reply["error"]["code"] == "task_failed"
    assert second.body == b"next"
