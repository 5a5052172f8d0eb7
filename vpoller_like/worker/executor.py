"""The tasks that threads run: what waits, what runs, and what is over."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection
from typing import Protocol

from vpoller_like.clock import Clock, monotonic
from vpoller_like.errors import TaskFailed
from vpoller_like.protocol.encoding import encoding_of
from vpoller_like.protocol.reply import failure
from vpoller_like.worker.events import Finished, Progress, Run, Started

log = logging.getLogger("vpoller.worker")


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


#: What a place runs: the job's key, and since when in monotonic seconds.
Current = tuple[int, float]


class Executor:
    """Hands out jobs first in, first out, and ``places`` to run them in, one job in each.

    ``submit``, ``take_back`` and ``progress`` are for the thread that has the loop; the
    others are for any thread, and ``run`` for the one that has the place.
    """

    def __init__(self, host: Host, places: int, max_reply: int, clock: Clock = monotonic) -> None:
        self._host = host
        self._max_reply = max_reply
        self._clock = clock
        # Of these, appending and popping are atomic.
        self._jobs: deque[Run] = deque()
        self._finished: deque[Finished] = deque()
        self._free = deque(range(places))
        self._current: list[Current | None] = [None] * places
        self._reported: list[Current | None] = [None] * places

    # The loop's ------------------------------------------------------------------------

    def submit(self, job: Run) -> None:
        """Have ``job`` run after all that was submitted before."""
        self._jobs.append(job)

    def take_back(self, keys: Collection[int]) -> list[int]:
        """Return those of ``keys`` that no thread has taken, and none will."""
        wanted = set(keys)
        return [job.key for job in list(self._jobs) if job.key in wanted and self._drop(job)]

    def _drop(self, job: Run) -> bool:
        try:
            self._jobs.remove(job)
        except ValueError:
            return False  # A thread has just taken it.
        return True

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
                started.append(Started(*current))
        return started

    def _take_finished(self) -> list[Finished]:
        finished: list[Finished] = []
        try:
            while True:
                finished.append(self._finished.popleft())
        except IndexError:
            return finished

    # Any thread's ----------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether a job waits and a place is free."""
        return bool(self._jobs and self._free)

    def take_place(self) -> int | None:
        """Return a place that is free, which it then is no longer; ``None`` if there is none."""
        try:
            return self._free.pop()
        except IndexError:
            return None

    def leave_place(self, place: int) -> None:
        """Let another thread have ``place``.

        A job that came when no place was free waits for the loop to look again.
        """
        self._free.append(place)

    def next(self) -> Run | None:
        """Take the job that has waited longest; ``None`` if none waits."""
        try:
            return self._jobs.popleft()
        except IndexError:
            return None

    def run(self, place: int, job: Run) -> float:
        """Run ``job`` in ``place``; return when it was over. Never raises."""
        began = self._clock()
        self._current[place] = (job.key, began)
        code, body = self._execute(job.assignment.body)
        ended = self._clock()
        # In this order, so that nothing is told to start after it has finished.
        self._current[place] = None
        self._finished.append(Finished(job.key, code, int((ended - began) * 1e6), body))
        return ended

    def _execute(self, body: bytes) -> tuple[str, bytes]:
        try:
            outcome = self._host.execute(body, self._max_reply)
            return outcome.code, outcome.body
        # Agents' errors are answers already; this is what must not end the thread, such
        # as an agent that calls sys.exit.
        except BaseException as error:
            log.exception("task raised")
            return TaskFailed.code, _told(error, body)


def _told(error: BaseException, request: bytes) -> bytes:
    """Return the reply that tells of ``error``, whatever it says of itself."""
    name = type(error).__name__
    try:
        said = str(error).encode("utf-8", "backslashreplace").decode()
    except Exception:
        said = "it cannot say why"
    return failure(TaskFailed(f"the task ended with {name}: {said}"), encoding_of(request))
