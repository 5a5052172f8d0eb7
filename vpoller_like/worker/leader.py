"""What a crew's leader does again and again: turn the loop, and run brief tasks in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from vpoller_like.clock import Clock
from vpoller_like.worker.baton import Baton
from vpoller_like.worker.compiled import compiled
from vpoller_like.worker.executor import Executor
from vpoller_like.worker.figures import SPELL, WAKE_SECONDS
from vpoller_like.worker.run import Run


class Loop(Protocol):
    """What is led. Only the thread that holds the baton calls these."""

    def settle(self) -> bool:
        """Take in what the threads have done, say what is to be said; False at the end."""

    def listen(self) -> None:
        """Wait for what comes in, unless there is something to do, and take it in."""


@compiled
class Leader:
    """Leads the loop, and lets another thread do so while it runs tasks.

    ``wake`` ends the leader's listening, from any thread. Who derives from it has the threads,
    and sees to it that another one stands ready before the first task is run
    (``_hire_if_needed``).
    """

    def __init__(
        self, loop: Loop, executor: Executor, wake: Callable[[], None], clock: Clock
    ) -> None:
        self._loop = loop
        self._executor = executor
        self._wake = wake
        self._clock = clock
        self._baton = Baton(clock)
        self._woken = 0.0
        self._has_worked = False

    def _lead(self) -> bool:
        """Turn the loop; True when another thread leads, False when it has ended."""
        while self._loop.settle():
            self._loop.listen()
            if self._executor.is_ready and not self._work():
                return True
        return False

    def _work(self) -> bool:
        """Run what waits, as long as another thread may lead; say whether this one leads on."""
        if not self._has_worked:
            self._has_worked = True
            self._hire_if_needed()
        place = self._executor.take_place()
        if place is None:
            return True
        run = self._executor.next()
        if run is not None:
            if run.brief:
                self._baton.lay_down()
            else:
                self._baton.offer()
            self._run_from(place, run)
        self._executor.leave_place(place)
        if run is None or self._baton.take_up():
            return True
        self._wake()
        return False

    def _run_from(self, place: int, run: Run | None) -> None:
        """Do ``run`` and what waits behind it."""
        until = self._clock() + SPELL
        executor, baton = self._executor, self._baton
        while run is not None:
            ended = executor.run(place, run)
            if baton.is_taken():
                self._wake_at(ended)
            elif ended >= until:
                return
            run = executor.next()
            if run is not None and not run.brief and baton.take_up():
                baton.offer()

    def _wake_at(self, now: float) -> None:
        if now - self._woken >= WAKE_SECONDS:
            self._woken = now
            self._wake()

    # Who derives from it -----------------------------------------------------------------

    def _hire_if_needed(self) -> None:
        raise NotImplementedError
