"""The main thread of a worker process: it keeps the lanes, and speaks with the supervisor."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence

from vpoller_like.agent import Agent
from vpoller_like.clock import Clock, monotonic
from vpoller_like.config import WorkerSettings
from vpoller_like.transport.poll import Poll
from vpoller_like.transport.waker import Waker
from vpoller_like.worker.control import Beat, Done, Leaving, Reporter, Stuck
from vpoller_like.worker.departure import ACK_SECONDS
from vpoller_like.worker.guard import Guard
from vpoller_like.worker.lanes import Lane, Lanes
from vpoller_like.worker.loop import pulse_seconds
from vpoller_like.worker.partings import Partings

log = logging.getLogger("vpoller.worker")

#: Seconds between two signs of life to the supervisor, at the most: a process that may stand
#: still for a short time only shows them more often.
BEAT_SECONDS = 1.0
BEATS = 4
#: Seconds for which the other lanes of a process that is replaced serve on: by then the new one
#: is there, as a rule.
HANDOVER_SECONDS = 5.0


def beat_seconds(settings: WorkerSettings) -> float:
    """Return how many seconds there are between two beats."""
    return min(BEAT_SECONDS, settings.stuck_ms / 1000 / BEATS)


class Keeper:
    """Keeps ``lanes`` until they have ended for good. Signals' handlers run meanwhile.

    What is not said to be for any thread is for the one that runs it.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        reporter: Reporter,
        guard: Guard,
        clock: Clock = monotonic,
    ) -> None:
        self._settings = settings
        self._reporter = reporter
        self._guard = guard
        self._clock = clock
        self._waker = Waker()
        #: What other threads want done here.
        self._errands: deque[Callable[[], None]] = deque()
        self._supervised = True
        self._poll = self._watch()
        self._partings = Partings(clock)
        self._beat_every = beat_seconds(settings)
        self._looked_at = 0.0
        #: No lane is to be started any more.
        self._ending = False
        #: When the lanes of a process that is replaced are to end.
        self._retire_at: float | None = None
        self._reason = "drained"
        self._drains_asked = 0
        self._lanes: Lanes

    # For any thread --------------------------------------------------------------------

    def stuck(self, seconds: float) -> None:
        """A task of some lane never returns; the lane ends within so many seconds."""
        self._call(lambda: self._replace(seconds))

    def leaving(self) -> None:
        """A broker has told some lane to end. That is meant for the whole worker."""
        self._call(self._leave)

    def over(self, lane: Lane, failure: BaseException | None) -> None:
        """``lane`` has ended, or failed."""
        self._call(lambda: self._ended(lane, failure))

    def serve(self, agents: Sequence[Agent]) -> None:
        """Serve ``agents`` from now on, as :meth:`Lanes.serve` does."""
        self._call(lambda: self._serve(agents))

    def drain(self) -> None:
        """Finish what runs, then end; the second call ends at once. From signals, too."""
        self._call(self._drain)

    def _call(self, errand: Callable[[], None]) -> None:
        self._errands.append(errand)
        self._waker.wake()

    # The main thread's -----------------------------------------------------------------

    def run(self, lanes: Lanes) -> str:
        """Keep ``lanes`` to the end, which is told to the supervisor; return its reason."""
        self._lanes = lanes
        # The first beat is due: until it, the guard allows for the time that a start takes.
        self._looked_at = self._clock() - self._beat_every
        while not (self._ending and not len(lanes)):
            self._look_around()
            ready = self._poll.wait(self._patience())
            if self._supervised and self._reporter.fd in ready and self._reporter.closed():
                self._orphan()
            self._waker.clear()
            while self._errands:
                self._errands.popleft()()
        self._reporter.send(Done())
        return self._reason

    def part(self, agents: Sequence[Agent], seconds: float) -> None:
        """Tear ``agents`` down, and wait so long for it."""
        by_hosts: dict[tuple[str, ...], list[Agent]] = {}
        for agent in agents:
            by_hosts.setdefault(tuple(agent.hostnames or ()), []).append(agent)
        for sharing in by_hosts.values():
            self._partings.begin(sharing)
        if not self._partings.wait(seconds):
            log.warning("some agents have not given back what they hold within %g s", seconds)

    def _patience(self) -> float:
        due = self._looked_at + self._beat_every
        if self._retire_at is not None:
            due = min(due, self._retire_at)
        return max(0.0, due - self._clock())

    def _look_around(self) -> None:
        now = self._clock()
        if self._retire_at is not None and now >= self._retire_at:
            self._retire_at = None
            self._lanes.retire()
        pause = now - self._looked_at - self._beat_every
        if pause < 0:
            return
        if pause > self._beat_every:
            self._lanes.excuse(pause)
        self._looked_at = now
        age = max(0.0, now - self._lanes.oldest_pulse(now) - self._pulse_every())
        self._reporter.send(Beat(age))
        self._guard.beat(age)

    def _pulse_every(self) -> float:
        return pulse_seconds(self._settings, len(self._lanes))

    def _orphan(self) -> None:
        log.warning("supervisor is gone: draining")
        self._supervised = False
        self._poll = self._watch()
        self._guard.expect_end(self._settings.drain_ms / 1000)
        if not self._drains_asked:
            self._drain()

    def _watch(self) -> Poll:
        poll = Poll()
        poll.watch(self._waker.fd)
        if self._supervised:
            poll.watch(self._reporter.fd)
        return poll

    # Errands ---------------------------------------------------------------------------

    def _serve(self, agents: Sequence[Agent]) -> None:
        if self._ending:
            self._partings.begin([agent for agent in agents if not self._lanes.knows(agent)])
            return
        self._partings.begin(self._lanes.serve(agents))

    def _ended(self, lane: Lane, failure: BaseException | None) -> None:
        if failure is not None:
            # No lane is worth more than the certainty that all of them are served.
            raise failure
        self._partings.begin(self._lanes.drop(lane))
        # One that was not told to: a broker has ended it, and so the worker.
        self._ending = self._ending or not lane.is_retiring

    def _drain(self) -> None:
        log.info("draining")
        self._drains_asked += 1
        self._ending = True
        if self._drains_asked > 1:
            self._reason = "forced"
        self._lanes.drain()

    def _leave(self) -> None:
        # The supervisor drains all its processes then, this one among them.
        self._reporter.send(Leaving())

    def _replace(self, seconds: float) -> None:
        """Have the supervisor start a process that takes over from this one."""
        if self._ending:
            return  # A process that drains already needs no replacement.
        self._ending = True
        self._reason = "stuck"
        if len(self._lanes) > 1:
            self._retire_at = self._clock() + HANDOVER_SECONDS
            longest = self._lanes.longest_timeout()
            seconds = max(seconds, HANDOVER_SECONDS + longest + ACK_SECONDS)
        self._reporter.send(Stuck(seconds))
