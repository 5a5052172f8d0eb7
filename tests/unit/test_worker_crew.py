"""The threads of a worker process: who leads the loop, and who runs what."""

from __future__ import annotations

import random
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator

import pytest

from tests.support.core_rig import task
from vpoller_like.clock import Clock, monotonic
from vpoller_like.worker.crew import Crew
from vpoller_like.worker.events import Finished, Started
from vpoller_like.worker.executor import Executor
from vpoller_like.worker.run import Run

PATIENCE = 10.0
BOTH = pytest.mark.parametrize("brief", [True, False])


class Outcome:
    code = ""

    def __init__(self, body: bytes) -> None:
        self.body = body


class Host:
    """``wait-x`` waits until ``x`` is released, a number for so many milliseconds."""

    def __init__(self) -> None:
        self.gates: dict[bytes, threading.Event] = {}
        self.ran: list[bytes] = []
        self.by: list[str] = []
        self.at_once = 0
        self.most_at_once = 0
        self._lock = threading.Lock()
        self._all_open = False

    def gate(self, body: bytes) -> threading.Event:
        gate = self.gates.setdefault(body, threading.Event())
        if self._all_open:
            gate.set()
        return gate

    def open_all(self) -> None:
        self._all_open = True
        for gate in list(self.gates.values()):
            gate.set()

    def execute(self, body: bytes, max_reply: int) -> Outcome:  # noqa: ARG002
        with self._lock:
            self.ran.append(body)
            self.by.append(threading.current_thread().name)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        if body == b"exit":
            self.at_once -= 1
            sys.exit(3)
        if body.startswith(b"wait"):
            assert self.gate(body).wait(PATIENCE)
        elif body.isdigit():
            time.sleep(int(body) / 1000)
        with self._lock:
            self.at_once -= 1
        return Outcome(body)


def job(key: int, body: bytes, brief: bool) -> Run:
    """Return a run with this key."""
    return Run(key, task(key, body=body), [], 0.0, brief)


class Loop:
    """Gives the crew what the test puts into ``inbox``; sees that only one leads."""

    def __init__(self, threads: int, clock: Clock) -> None:
        self.host = Host()
        self.executor = Executor(self.host, threads, 100, clock)
        self.woken = threading.Event()
        self.crew = Crew(self, self.executor, threads, self.woken.set, clock)
        self.inbox: deque[Run] = deque()
        self.started: list[Started] = []
        self.finished: list[Finished] = []
        self.leader = ""
        self.turns = 0
        self.rivals: list[str] = []
        self.ended = False
        #: Seconds after which it looks again: it is not told what starts.
        self.nap = 0.005
        self.fault: Exception | None = None
        self.over = threading.Event()
        self.failure: BaseException | None = None
        self._inside = threading.Lock()

    def settle(self) -> bool:
        if not self._inside.acquire(blocking=False):
            self.rivals.append(threading.current_thread().name)
        self.leader = threading.current_thread().name
        self.turns += 1
        progress = self.executor.progress()
        if progress is not None:
            self.started.extend(progress.started)
            self.finished.extend(progress.finished)
        self._inside.release()
        return not self.ended

    def listen(self) -> None:
        if not self._inside.acquire(blocking=False):
            self.rivals.append(threading.current_thread().name)
        if not self.inbox and not self.executor.is_ready:
            self.woken.wait(self.nap)
        self.woken.clear()
        if self.fault is not None:
            raise self.fault
        while self.inbox:
            self.executor.submit([self.inbox.popleft()])
        self._inside.release()

    # The test's ------------------------------------------------------------------------

    def start(self) -> None:
        self.crew.start(self._end)

    def _end(self, failure: BaseException | None) -> None:
        self.failure = failure
        self.over.set()

    def give(self, *jobs: tuple[int, bytes], brief: bool) -> None:
        self.inbox.extend(job(key, body, brief) for key, body in jobs)
        self.woken.set()

    def until(self, holds: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, (self.started, self.finished)
            time.sleep(0.001)

    def until_finished(self, *keys: int) -> None:
        self.until(lambda: {item.key for item in self.finished} >= set(keys))

    def until_another_leads(self, before: str) -> None:
        self.until(lambda: self.leader != before)


@pytest.fixture
def make() -> Iterator[Callable[..., Loop]]:
    loops: list[Loop] = []

    def make_one(threads: int = 1, clock: Clock = monotonic) -> Loop:
        loop = Loop(threads, clock)
        loop.start()
        loops.append(loop)
        loop.until(lambda: loop.turns > 0)
        return loop

    yield make_one
    for loop in loops:
        loop.host.open_all()
        loop.ended = True
        loop.woken.set()
        assert loop.over.wait(PATIENCE)
        assert loop.failure is None
        assert loop.rivals == []


@BOTH
def test_jobs_are_run_in_their_order(make: Callable[..., Loop], brief: bool) -> None:
    loop = make(1)
    bodies = [b"x%d" % number for number in range(100)]
    loop.give(*enumerate(bodies), brief=brief)
    loop.until_finished(*range(100))
    assert loop.host.ran == bodies
    assert [item.key for item in loop.finished] == list(range(100))


def test_a_brief_job_is_run_by_the_leader_who_leads_on(make: Callable[..., Loop]) -> None:
    loop = make(2, lambda: 0.0)  # Where no time passes, no lease is over.
    leader = loop.leader
    for key in range(200):
        loop.give((key, b"x"), brief=True)
        loop.until_finished(key)
    assert set(loop.host.by) == {leader}
    assert loop.leader == leader


def test_while_a_brief_job_takes_longer_another_thread_leads(make: Callable[..., Loop]) -> None:
    loop = make(1)
    leader = loop.leader
    loop.give((1, b"wait"), brief=True)
    loop.until_another_leads(leader)
    assert loop.host.by == [leader]
    loop.until(lambda: [item.key for item in loop.started] == [1])
    loop.host.gate(b"wait").set()
    loop.until_finished(1)


def test_a_job_that_is_not_brief_leaves_the_loop_to_another_thread_at_once(
    make: Callable[..., Loop],
) -> None:
    loop = make(1, lambda: 0.0)
    leader = loop.leader
    loop.give((1, b"wait"), brief=False)
    loop.until_another_leads(leader)
    assert loop.host.by == [leader]
    loop.host.gate(b"wait").set()
    loop.until_finished(1)


def test_a_job_that_is_not_brief_does_so_behind_brief_ones_too(
    make: Callable[..., Loop],
) -> None:
    loop = make(1, lambda: 0.0)
    leader = loop.leader
    loop.inbox.append(job(1, b"x", True))
    loop.give((2, b"wait"), brief=False)
    loop.until_another_leads(leader)
    loop.host.gate(b"wait").set()
    loop.until_finished(1, 2)


def test_the_loop_is_woken_for_what_another_thread_has_done(make: Callable[..., Loop]) -> None:
    # Where no time passes, it is not woken while the thread finds more to do.
    loop = make(2, lambda: 0.0)
    loop.nap = 60.0
    leader = loop.leader
    loop.give((1, b"wait"), brief=False)
    loop.until_another_leads(leader)
    loop.host.gate(b"wait").set()
    loop.until_finished(1)


def test_brief_jobs_are_done_while_others_take_their_time(make: Callable[..., Loop]) -> None:
    loop = make(2)
    loop.give((1, b"wait"), brief=False)
    loop.give(*((key, b"x") for key in range(2, 100)), brief=True)
    loop.until_finished(*range(2, 100))
    assert [item.key for item in loop.started][:1] == [1]
    assert 1 not in {item.key for item in loop.finished}


@BOTH
@pytest.mark.parametrize("threads", [1, 2, 4])
def test_as_many_jobs_run_at_once_as_there_are_threads(
    make: Callable[..., Loop], threads: int, brief: bool
) -> None:
    loop = make(threads)
    loop.give(*((key, b"wait-%d" % key) for key in range(threads + 2)), brief=brief)
    loop.until(lambda: len(loop.started) == threads)
    turns = loop.turns
    loop.until(lambda: loop.turns > turns + 3)
    assert [item.key for item in loop.started] == list(range(threads))
    loop.host.gate(b"wait-0").set()
    loop.until(lambda: len(loop.started) == threads + 1)
    assert [item.key for item in loop.finished] == [0]


def test_a_start_is_reported_once(make: Callable[..., Loop]) -> None:
    loop = make(1)
    loop.give((1, b"wait"), brief=True)
    loop.until(lambda: len(loop.started) == 1)
    turns = loop.turns
    loop.until(lambda: loop.turns > turns + 3)
    assert len(loop.started) == 1


@pytest.mark.parametrize("threads", [1, 3])
def test_whatever_comes_one_leads_all_is_run_once_and_never_too_much_at_a_time(
    make: Callable[..., Loop], threads: int
) -> None:
    loop = make(threads)
    dice = random.Random(threads)
    for key in range(1500):
        body = b"%d" % dice.choice([1, 2, 4]) if dice.random() < 0.1 else b"x"
        loop.give((key, body), brief=dice.random() < 0.8)
        if dice.random() < 0.02:
            loop.until_finished(*range(key + 1))
    loop.until_finished(*range(1500))
    assert sorted(item.key for item in loop.finished) == list(range(1500))
    assert loop.host.most_at_once == threads
    assert loop.rivals == []


def test_what_comes_when_all_are_busy_is_run_as_soon_as_one_is_not(
    make: Callable[..., Loop],
) -> None:
    loop = make(1)
    for key in range(300):
        loop.give((key, b"x"), brief=False)
        if key % 3:
            loop.until_finished(key)
    loop.until_finished(*range(300))


@BOTH
def test_a_job_that_calls_exit_ends_no_thread(make: Callable[..., Loop], brief: bool) -> None:
    loop = make(1)
    loop.give((1, b"exit"), (2, b"exit"), (3, b"exit"), (4, b"x"), brief=brief)
    loop.until_finished(1, 2, 3, 4)
    assert [item.code for item in loop.finished] == ["task_failed"] * 3 + [""]


def test_what_the_loop_raises_ends_the_crew() -> None:
    loop = Loop(2, monotonic)
    loop.fault = RuntimeError("boom")
    loop.start()
    assert loop.over.wait(PATIENCE)
    assert loop.failure is loop.fault


def crew_of(before: set[threading.Thread]) -> list[threading.Thread]:
    """Return the threads that have been started since ``before`` was taken."""
    return [t for t in set(threading.enumerate()) - before if t.name.startswith("task-")]


def test_a_crew_that_has_nothing_to_do_is_one_thread(make: Callable[..., Loop]) -> None:
    before = set(threading.enumerate())
    loop = make(4)
    turns = loop.turns
    loop.until(lambda: loop.turns > turns + 5)
    assert len(crew_of(before)) == 1


def test_a_crew_grows_as_far_as_what_runs_at_once_needs(make: Callable[..., Loop]) -> None:
    before = set(threading.enumerate())
    loop = make(4)
    for count in (1, 2, 3, 4):
        loop.give((count, b"wait-%d" % count), brief=False)
        loop.until(lambda: len(loop.started) == count)  # noqa: B023
        loop.until(lambda: len(crew_of(before)) == min(5, count + 2))  # noqa: B023


def test_at_the_end_all_threads_end(make: Callable[..., Loop]) -> None:
    before = set(threading.enumerate())
    loop = make(3)
    loop.give(*((key, b"wait") for key in range(3)), brief=False)
    loop.until(lambda: len(loop.started) == 3)
    crew = crew_of(before)
    assert len(crew) == 4
    loop.host.open_all()
    loop.ended = True
    loop.woken.set()
    for thread in crew:
        thread.join(PATIENCE)
        assert not thread.is_alive()
