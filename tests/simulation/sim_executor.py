"""The threads of a simulated worker process, and a record of all that ever ran."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from tests.simulation import catalogue
from tests.simulation.world import World
from vpoller_like.protocol.encoding import Encoding, encode
from vpoller_like.protocol.reply import failure_fields
from vpoller_like.protocol.worker import Assignment
from vpoller_like.worker import events as ev
from vpoller_like.worker.run import Run


class Execution(NamedTuple):
    """One run of a method by a thread; ``number`` is in its reply."""

    number: int
    process: str
    item: Assignment
    started: float
    #: Empty for a success.
    code: str
    body: bytes


class Executions:
    """All that ever ran anywhere, by number."""

    def __init__(self, world: World, watch: Callable[[Execution], None]) -> None:
        self._world = world
        self._watch = watch
        self.all: list[Execution] = []

    def begin(self, process: str, item: Assignment) -> Execution:
        """A thread begins with ``item``."""
        number = len(self.all)
        error = catalogue.ending(self._world)
        fields: dict[str, Any] = {"success": 0, "msg": "done"}
        if error is not None:
            fields = failure_fields(error)
        # Every run has a reply of its own, so that it shows whose reply a client got.
        body = encode({**fields, "run": number}, Encoding.JSON)
        code = "" if error is None else error.code
        execution = Execution(number, process, item, self._world.now, code, body)
        self.all.append(execution)
        self._watch(execution)
        return execution


class SimExecutor:
    """First in, first out, on ``threads`` threads; ``wake`` is told that something is done.

    ``paused`` while the process is stopped: no thread does anything then.
    """

    def __init__(
        self,
        world: World,
        executions: Executions,
        process: str,
        threads: int,
        wake: Callable[[], None],
    ) -> None:
        self._world = world
        self._executions = executions
        self._process = process
        self._idle = threads
        self._threads = threads
        self._wake = wake
        self._jobs: deque[Run] = deque()
        self._started: list[ev.Started] = []
        self._finished: list[ev.Finished] = []
        self._late: list[tuple[int, Execution]] = []
        self.paused = False
        self.dead = False

    @property
    def is_busy(self) -> bool:
        """Whether a thread runs something."""
        return self._idle < self._threads

    def submit(self, runs: Iterable[Run]) -> None:
        """Run these after all that was submitted before."""
        for run in runs:
            self._jobs.append(run)
            self._world.after(0.00002, self._take)

    def take_back(self, keys: list[int]) -> list[int]:
        """Return those of ``keys`` that no thread has taken, and none will."""
        wanted = set(keys)
        back = [job.key for job in self._jobs if job.key in wanted]
        self._jobs = deque(job for job in self._jobs if job.key not in wanted)
        return back

    def progress(self) -> ev.Progress | None:
        """Return what has started and finished since the last time."""
        if not (self._started or self._finished):
            return None
        progress = ev.Progress(self._started, self._finished)
        self._started, self._finished = [], []
        return progress

    def resume(self) -> None:
        """Go on after a pause."""
        self.paused = False
        late, self._late = self._late, []
        for key, execution in late:
            self._end(key, execution)
        self._take()

    def _take(self) -> None:
        while self._idle and self._jobs and not self.paused and not self.dead:
            self._idle -= 1
            self._begin(self._jobs.popleft())

    def _begin(self, job: Run) -> None:
        execution = self._executions.begin(self._process, job.item)
        self._world.note(self._process, "runs", f"{job.item.method} #{execution.number}")
        self._started.append(ev.Started(job.key, self._world.now))
        seconds = catalogue.duration(self._world, job.item.method)
        if seconds is not None:
            self._world.after(seconds, self._end, job.key, execution)

    def _end(self, key: int, execution: Execution) -> None:
        if self.dead:
            return
        if self.paused:
            self._late.append((key, execution))
            return
        self._idle += 1
        ran_us = int((self._world.now - execution.started) * 1e6)
        self._finished.append(ev.Finished(key, execution.code, ran_us, execution.body))
        self._started = [started for started in self._started if started.key != key]
        self._take()
        self._wake()
