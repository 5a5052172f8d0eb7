"""The threads that run tasks."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection
from queue import Empty, SimpleQueue
from typing import NamedTuple, Protocol

from vpoller_like.clock import Clock, monotonic
from vpoller_like.errors import TaskFailed
from vpoller_like.protocol.encoding import encoding_of
from vpoller_like.protocol.reply import failure
from vpoller_like.worker.events import Finished, Progress, Started

log = logging.getLogger("vpoller.worker")

#: Seconds between two wakings of the loop while threads find more to do: a result may
#: wait this long for others, and a quick task does not pay for a switch of threads.
WAKE_SECONDS = 0.001


class Answered(Protocol):
    """What comes of a task: ``code`` is empty for a success; ``body`` is the envelope."""

    @property
    def code(self) -> str: ...

    @property
    def body(self) -> bytes: ...


class Host(Protocol):
    """Runs requests; from many threads at once."""

    def execute(self, body: bytes, max_reply: int) -> Answered:
        """Run the request ``body``; a reply beyond ``max_reply`` bytes is refused."""


class Job(NamedTuple):
    """A request to run, under the core's key."""

    key: int
    body: bytes


class Current(NamedTuple):
    """What a thread runs, since when in monotonic seconds."""

    key: int
    since: float


class Executor:
    """Runs jobs first in, first out, on ``threads`` threads.

    All methods are for one thread, the loop's; ``wake`` is called from the others.
    """

    def __init__(
        self,
        host: Host,
        threads: int,
        max_reply: int,
        wake: Callable[[], None],
        clock: Clock = monotonic,
    ) -> None:
        self._host = host
        self._max_reply = max_reply
        self._wake = wake
        self._clock = clock
        self._woken = 0.0
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._finished: deque[Finished] = deque()
        self._current: list[Current | None] = [None] * threads
        self._reported: list[Current | None] = [None] * threads

    def start(self) -> None:
        """Start the threads. They are daemons: one that is stuck does not hold the process."""
        for index in range(len(self._current)):
            name = f"task-{index}"
            threading.Thread(target=self._work, args=(index,), name=name, daemon=True).start()

    def stop(self) -> None:
        """Let each thread end when it finds nothing more to run."""
        for _ in self._current:
            self._jobs.put(None)

    def submit(self, key: int, body: bytes) -> None:
        """Run ``body`` after all that was submitted before."""
        self._jobs.put(Job(key, body))

    def take_back(self, keys: Collection[int]) -> list[int]:
        """Return those of ``keys`` that no thread has taken, and none will."""
        wanted, waiting, back = set(keys), self._take_all(), []
        for job in waiting:
            if job is not None and job.key in wanted:
                back.append(job.key)
            else:
                self._jobs.put(job)
        return back

    def _take_all(self) -> list[Job | None]:
        taken: list[Job | None] = []
        try:
            while True:
                taken.append(self._jobs.get_nowait())
        except Empty:
            return taken

    def progress(self) -> Progress | None:
        """Return what has started and finished since the last time; ``None`` if nothing."""
        # Before what is finished: a thread that was seen to have gone on has left its last
        # result behind, and nobody wakes the loop for that until it is done again.
        started = self._take_started()
        finished = self._take_finished()
        return Progress(started, finished) if started or finished else None

    def _take_started(self) -> list[Started]:
        started = []
        for index, current in enumerate(self._current):
            if current is not None and current is not self._reported[index]:
                self._reported[index] = current
                started.append(Started(current.key, current.since))
        return started

    def _take_finished(self) -> list[Finished]:
        finished: list[Finished] = []
        try:
            while True:
                finished.append(self._finished.popleft())
        except IndexError:
            return finished

    # In the threads --------------------------------------------------------------------

    def _work(self, index: int) -> None:
        while (job := self._jobs.get()) is not None:
            began = self._clock()
            self._current[index] = Current(job.key, began)
            code, body = self._execute(job.body)
            ended = self._clock()
            # In this order, so that nothing is told to start after it has finished.
            self._current[index] = None
            self._finished.append(Finished(job.key, code, int((ended - began) * 1e6), body))
            if self._jobs.empty() or ended - self._woken >= WAKE_SECONDS:
                self._woken = ended
                self._wake()

    def _execute(self, body: bytes) -> tuple[str, bytes]:
        try:
            outcome = self._host.execute(body, self._max_reply)
            return outcome.code, outcome.body
        # Agents' errors are answers already; this is what must not end the thread, such
        # as an agent that calls sys.exit.
        except BaseException as error:
            log.exception("task raised")
            failed = TaskFailed(f"the task ended with {type(error).__name__}: {error}")
            return failed.code, failure(failed, encoding_of(body))
