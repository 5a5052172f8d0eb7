"""The tasks that threads run: what waits, what runs, and what is over."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Collection, Iterable
from typing import Protocol

from vpoller_like.clock import Clock, monotonic
from vpoller_like.errors import TaskFailed
from vpoller_like.protocol.encoding import encoding_of
from vpoller_like.protocol.reply import failure
from vpoller_like.worker.compiled import compiled
from vpoller_like.worker.events import Progress, Started
from vpoller_like.worker.run import Finished, Run

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


#: What a place runs: the run's key, and since when in monotonic seconds.
Current = tuple[int, float]


@compiled
class Executor:
    """Hands out runs first in, first out, and ``places`` for them, one in each.

    ``submit``, ``take_back`` and ``progress`` are for the thread that has the loop; the
    others are for any thread, and ``run`` for the one that has the place.
    """

    def __init__(self, host: Host, places: int, max_reply: int, clock: Clock = monotonic) -> None:
        self._host = host
        self._max_reply = max_reply
        self._clock = clock
        # Of these, appending and popping are atomic.
        self._waiting: deque[Run] = deque()
        self._finished: deque[Finished] = deque()
        self._free = deque(range(places))
        self._current: list[Current | None] = [None] * places
        self._reported: list[Current | None] = [None] * places

    # The loop's ------------------------------------------------------------------------

    def submit(self, runs: Iterable[Run]) -> None:
        """Have ``runs`` run, in this order, after all that was submitted before."""
        self._waiting.extend(runs)

    def take_back(self, keys: Collection[int]) -> list[int]:
        """Return those of ``keys`` that no thread has taken, and none will."""
        wanted = set(keys)
        return [run.key for run in list(self._waiting) if run.key in wanted and self._drop(run)]

    def _drop(self, run: Run) -> bool:
        try:
            self._waiting.remove(run)
        except ValueError:
            return False  # A thread has just taken it.
        return True

    def progress(self) -> Progress | None:
        """Return what has started and finished since the last time; ``None`` if nothing."""
        # Before what is finished: a thread that was seen to have gone on has left its last
        # result behind, and nobody wakes the loop for that until it is done again.
        started = self._take_started() if any(self._current) else []
        # Those that come meanwhile have their turn the next time.
        take = self._finished.popleft
        finished = [take() for _ in range(len(self._finished))]
        return Progress(started, finished) if started or finished else None

    def _take_started(self) -> list[Started]:
        started = []
        for index, current in enumerate(self._current):
            if current is not None and current is not self._reported[index]:
                self._reported[index] = current
                started.append(Started(*current))
        return started

    # Any thread's ----------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        """Whether a run waits and a place is free."""
        return bool(self._waiting and self._free)

    @property
    def occupied(self) -> int:
        """How many places a thread has."""
        return len(self._current) - len(self._free)

    def take_place(self) -> int | None:
        """Return a place that is free, which it then is no longer; ``None`` if there is none."""
        try:
            return self._free.pop()
        except IndexError:
            return None

    def leave_place(self, place: int) -> None:
        """Let another thread have ``place``.

        A run that came when no place was free waits for the loop to look again.
        """
        self._free.append(place)

    def next(self) -> Run | None:
        """Take the run that has waited longest; ``None`` if none waits."""
        if not self._waiting:
            return None
        try:
            return self._waiting.popleft()
        except IndexError:
            return None  # Another thread has just taken it.

    def run(self, place: int, run: Run) -> float:
        """Do ``run`` in ``place``; return when it was over. Never raises."""
        key, body = run.key, run.item.body
        began = self._clock()
        self._current[place] = (key, began)
        try:
            outcome = self._host.execute(body, self._max_reply)
            code, reply = outcome.code, outcome.body
        # Agents' errors are answers already; this is what must not end the thread, such
        # as an agent that calls sys.exit.
        except BaseException as error:
            log.exception("task raised")
            code, reply = TaskFailed.code, _told(error, body)
        ended = self._clock()
        # In this order, so that nothing is told to start after it has finished.
        self._current[place] = None
        self._finished.append(Finished(key, code, int((ended - began) * 1e6), reply))
        return ended


def _told(error: BaseException, request: bytes) -> bytes:
    """Return the reply that tells of ``error``, whatever it says of itself."""
    name = type(error).__name__
    try:
        said = str(error).encode("utf-8", "backslashreplace").decode()
    except Exception:
        said = "it cannot say why"
    return failure(TaskFailed(f"the task ended with {name}: {said}"), encoding_of(request))
