"""What the kill loop did to whom, and when. Times are monotonic seconds."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Set
from typing import NamedTuple

KILL, STOP, ORPHAN = "kill", "stop", "orphan"
#: Seconds after a broker's death in which a reply may still be its own.
BLURRED = 1.0
#: Seconds from its start in which a broker lets any method wait for workers.
GRACE = 2.0


class Blow(NamedTuple):
    """A worker process was killed, stopped ``until`` then, or its supervisor was killed."""

    kind: str
    pid: int
    at: float
    until: float = math.inf


class Death(NamedTuple):
    """A broker killed, and its successor started."""

    at: float
    successor: float


class History:
    """Everything that was done."""

    def __init__(self, brokers: int = 1) -> None:
        self.brokers = brokers
        self.blows: list[Blow] = []
        self.deaths: list[Death] = []
        #: When each death's successor gave its first reply, if it is known.
        self.revivals: dict[Death, float] = {}
        self._by_pid: dict[int, list[Blow]] = defaultdict(list)

    def struck(self, blow: Blow) -> None:
        """Note a blow."""
        self.blows.append(blow)
        self._by_pid[blow.pid].append(blow)

    @property
    def struck_pids(self) -> Set[int]:
        """The processes that had a blow."""
        return self._by_pid.keys()

    def died(self, death: Death) -> None:
        """Note a broker's death."""
        self.deaths.append(death)

    def of(self, kind: str) -> list[Blow]:
        """Return all blows of a kind."""
        return [blow for blow in self.blows if blow.kind == kind]

    def blows_to(self, pid: int, before: float) -> Iterator[Blow]:
        """Yield what befell a process before that time."""
        return (blow for blow in self._by_pid.get(pid, ()) if blow.at <= before)

    def lived_through(self, pid: int, since: float, until: float) -> bool:
        """Say whether nothing was done to a worker process in that time."""
        return not any(blow.until >= since for blow in self.blows_to(pid, until))

    def life_at(self, when: float) -> int | None:
        """Return which life of the broker a reply received then came from; None if unsure."""
        if self.brokers > 1:
            return None
        before = [death for death in self.deaths if death.at <= when]
        if before and when < before[-1].successor + BLURRED:
            return None
        return len(before)

    def no_worker_was_back(self, when: float) -> bool:
        """Say whether the broker of that time had waited in vain for a first worker."""
        before = [death for death in self.deaths if death.at <= when]
        if not before or when < before[-1].successor + GRACE:
            return False
        return when < self.revivals.get(before[-1], math.inf) + BLURRED

    def broker_died_within(self, since: float, until: float) -> bool:
        """Say whether a broker was killed in that time, or was away at its beginning."""
        return any(
            death.at <= until and since <= death.successor + BLURRED for death in self.deaths
        )
