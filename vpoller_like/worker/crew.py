"""The threads of a worker: one leads the loop, the others run tasks or stand ready."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from vpoller_like.clock import Clock, monotonic
from vpoller_like.worker.baton import LEASE, Baton
from vpoller_like.worker.executor import Executor
from vpoller_like.worker.run import Run

#: Seconds of brief tasks that the leader runs before it looks after the loop again.
SPELL = LEASE / 2
#: Seconds between two wakings of the loop while a thread finds more to do: a result may
#: wait this long for others, and a quick task does not pay for a switch of threads.
WAKE_SECONDS = 0.001


class Loop(Protocol):
    """What is led. Only the thread that holds the baton calls these."""

    def settle(self) -> bool:
        """Take in what the threads have done, say what is to be said; False at the end."""

    def listen(self) -> None:
        """Wait for what comes in, unless there is something to do, and take it in."""


class Crew:
    """``threads`` tasks run at once, on one thread more than that: one is left to lead.

    The leader runs a brief task itself, and sends its result without a switch of threads; if
    it turns out to take longer, the thread that stands in leads on. With one that is known
    to take longer another thread is to lead at once. ``wake`` ends the leader's listening,
    from any thread. A thread is started when it is needed first: a crew that has never had
    anything to do is one.
    """

    def __init__(
        self,
        loop: Loop,
        executor: Executor,
        threads: int,
        wake: Callable[[], None],
        clock: Clock = monotonic,
    ) -> None:
        self._loop = loop
        self._executor = executor
        self._threads = threads
        self._wake = wake
        self._clock = clock
        self._baton = Baton(clock)
        self._woken = 0.0
        #: Threads that have been started.
        self._hired = 0
        self._turn: Callable[[], bool] = self._first_work
        self._ended: Callable[[BaseException | None], None] = lambda _: None

    def start(self, ended: Callable[[BaseException | None], None]) -> None:
        """Lead the loop to its end, and then say so, with what it raised.

        All threads are daemons: one that is stuck does not hold the process.
        """
        self._ended = ended
        self._hire()

    # In the threads --------------------------------------------------------------------

    def _serve(self) -> None:
        while self._baton.stand_in():
            failure = None
            try:
                if self._hired > 1:
                    self._hire_if_needed()
                if self._lead():
                    continue
            except BaseException as error:
                failure = error
            self._baton.end()
            self._ended(failure)

    def _hire_if_needed(self) -> None:
        """See to it that another thread stands ready to lead when this one runs a task."""
        ready = self._hired - 1 - self._executor.occupied
        if ready <= 0 and self._hired <= self._threads:
            self._hire()

    def _hire(self) -> None:
        name = f"task-{self._hired}"
        self._hired += 1
        threading.Thread(target=self._serve, name=name, daemon=True).start()

    def _lead(self) -> bool:
        """Turn the loop; True when another thread leads, False when it has ended."""
        while self._loop.settle():
            self._loop.listen()
            if self._executor.is_ready and not self._turn():
                return True
        return False

    def _first_work(self) -> bool:
        self._turn = self._work
        self._hire_if_needed()
        return self._work()

    def _work(self) -> bool:
        """Run what waits, as long as another thread may lead; say whether this one leads on."""
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
