"""Strikes at random, and brings back what does not come back by itself."""

from __future__ import annotations

import contextlib
import os
import random
import signal
from collections.abc import Sequence
from typing import NamedTuple

from tests.support.kills.fleet import Fleet
from tests.support.kills.history import KILL, ORPHAN, STOP, Blow, Death, History
from tests.support.kills.prober import Prober
from vpoller_like.clock import Clock, monotonic

#: Shares of the blows to workers that stop one, or take its supervisor.
STOPPING, ORPHANING = 0.2, 0.05
#: Seconds that a process is stopped; the broker gives it up after three.
STOPPED = (0.3, 6.0)
#: Seconds that a restarted broker may take to answer before it may be killed again.
REVIVAL = 10.0


class Pace(NamedTuple):
    """Seconds between two blows to workers, and to brokers; how many of each at most."""

    workers: float
    brokers: float
    most_workers: int
    most_brokers: int


class Killer:
    """Every method returns at once; times are monotonic seconds."""

    def __init__(
        self,
        fleet: Fleet,
        history: History,
        prober: Prober,
        pace: Pace,
        seed: int,
        clock: Clock = monotonic,
    ) -> None:
        self._fleet = fleet
        self._history = history
        self._prober = prober
        self._pace = pace
        self._random = random.Random(seed)
        self._clock = clock
        self._next_worker = clock() + pace.workers
        self._next_broker = clock() + pace.brokers
        #: Stopped: which process, and until when.
        self._stopped: tuple[int, float] | None = None

    def strike(self) -> None:
        """Do what is due."""
        now = self._clock()
        self._wake_due(now)
        if now >= self._next_worker and self._may_strike_worker():
            self._strike_worker(self._fleet.serving())
            self._next_worker = now + self._spread(self._pace.workers)
        if now >= self._next_broker and self._may_strike_broker(now):
            self._strike_broker()
            self._next_broker = self._clock() + self._spread(self._pace.brokers)

    def rest(self) -> None:
        """Let go of what is stopped."""
        if self._stopped is not None:
            _signal(self._stopped[0], signal.SIGCONT)
            self._stopped = None

    def _spread(self, seconds: float) -> float:
        return seconds * self._random.uniform(0.5, 1.5)

    # Workers ---------------------------------------------------------------------------

    def _may_strike_worker(self) -> bool:
        """Say whether half of the workers have come back from earlier blows."""
        history = self._history
        if len(history.of(KILL)) + len(history.of(STOP)) >= self._pace.most_workers:
            return False
        return 2 * len(self._fleet.serving()) >= self._fleet.workers

    def _strike_worker(self, serving: Sequence[int]) -> None:
        """Strike at one of the workers that serve."""
        kind = self._random.random()
        if kind < ORPHANING:
            self._orphan()
        elif kind < ORPHANING + STOPPING and self._stopped is None:
            self._stop(self._random.choice(serving))
        else:
            self._kill(self._random.choice(serving))

    def _kill(self, pid: int) -> None:
        # Before it happens, so that nothing that comes of it can seem to come first.
        self._history.struck(Blow(KILL, pid, self._clock()))
        _signal(pid, signal.SIGKILL)

    def _stop(self, pid: int) -> None:
        now = self._clock()
        until = now + self._random.uniform(*STOPPED)
        self._history.struck(Blow(STOP, pid, now, until + 1.0))
        _signal(pid, signal.SIGSTOP)
        self._stopped = (pid, until)

    def _wake_due(self, now: float) -> None:
        if self._stopped is None or now < self._stopped[1]:
            return
        pid = self._stopped[0]
        if self._random.random() < 0.3:
            self._kill(pid)
            self._stopped = None
        else:
            self.rest()

    def _orphan(self) -> None:
        now = self._clock()
        for pid in self._fleet.replace_supervisor(self._random.randrange(100)):
            self._history.struck(Blow(ORPHAN, pid, now))

    # Brokers ---------------------------------------------------------------------------

    def _may_strike_broker(self, now: float) -> bool:
        """Say whether the last one that died has been replaced."""
        deaths = self._history.deaths
        if len(deaths) >= self._pace.most_brokers:
            return False
        if not deaths or now > deaths[-1].successor + REVIVAL:
            return True
        return self._prober.answered_since(deaths[-1].successor)

    def _strike_broker(self) -> None:
        which = self._random.randrange(100)
        at = self._clock()
        self._fleet.kill_broker(which)
        self._fleet.revive_broker(which)
        self._history.died(Death(at, self._clock()))


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
