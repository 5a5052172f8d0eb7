"""The threads of a worker: one leads the loop, the others run tasks or stand ready."""

from __future__ import annotations

import threading
from collections.abc import Callable

from vpoller_like.clock import Clock, monotonic
from vpoller_like.worker.executor import Executor
from vpoller_like.worker.leader import Leader, Loop


class Crew(Leader):
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
        super().__init__(loop, executor, wake, clock)
        self._threads = threads
        #: Threads that have been started.
        self._hired = 0
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
