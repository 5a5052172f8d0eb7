"""Finding out, while a worker runs, that its agents are to serve other hosts."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Hashable, Sequence
from queue import Empty, SimpleQueue

from vpoller_like.agent import Agent, AgentHost
from vpoller_like.agent.agent import identity_of
from vpoller_like.agent.host import set_up
from vpoller_like.agent.loader import AgentSource
from vpoller_like.agent.vault import VAULT
from vpoller_like.clock import Clock, monotonic
from vpoller_like.errors import VPollerError

log = logging.getLogger("vpoller.worker")

#: Seconds between two questions to an agent.
EVERY = 2.0
#: Seconds after which agents that could not be made or set up are tried again.
RETRY = 30.0


class Watched:
    """One source of agents, and the instances that it has yielded.

    Raises what :class:`AgentSource` does.
    """

    def __init__(self, source: AgentSource) -> None:
        self.source = source
        # Before the instances: what changes in between is found by the next question.
        self.revision: Hashable = source.revision() if source.is_revised else None
        self.agents = source.instances()
        #: What of this revision has been complained of: once is enough.
        self.told: set[str] = set()
        #: When to try again what has failed.
        self.retry_at: float | None = None

    def candidates(self) -> list[Agent]:
        """Return the instances that are configured now: where one equals a present one, that."""
        present = {identity_of(agent): agent for agent in self.agents}
        return [present.get(identity_of(agent), agent) for agent in self.source.instances()]


class Renewal:
    """Asks the agents that can change, and ``announce``s all agents when some have.

    New ones are set up before; those that are missing are to be torn down by who is told. In a
    thread of its own: an agent may take its time.
    """

    def __init__(
        self,
        watched: Sequence[Watched],
        announce: Callable[[list[Agent]], None],
        clock: Clock = monotonic,
    ) -> None:
        self._watched = watched
        self._announce = announce
        self._clock = clock
        # An Event's lock is none for a signal handler: a second signal would wait for the first.
        self._hastened: SimpleQueue[None] = SimpleQueue()

    @property
    def agents(self) -> list[Agent]:
        """All instances, in their sources' order."""
        return [agent for watched in self._watched for agent in watched.agents]

    def start(self) -> None:
        """Begin to ask, if there is anybody to be asked."""
        if any(watched.source.is_revised for watched in self._watched):
            threading.Thread(target=self._run, name="renewal", daemon=True).start()

    def hasten(self) -> None:
        """Make all anew now, whatever they say of themselves. From signals, too."""
        self._hastened.put(None)

    def _run(self) -> None:
        while True:
            self.look(self._wait())

    def _wait(self) -> bool:
        """Wait until it is time to ask; say whether somebody has hastened that."""
        with contextlib.suppress(Empty):
            self._hastened.get(timeout=EVERY)
            while not self._hastened.empty():
                self._hastened.get()
            return True
        return False

    def look(self, anyway: bool = False) -> None:
        """Ask once; with ``anyway``, also make anew what says that it has not changed."""
        for watched in self._watched:
            if watched.source.is_revised:
                self._look_at(watched, anyway)

    def _look_at(self, watched: Watched, anyway: bool) -> None:
        subject = "whether its hosts have changed cannot be told"
        try:
            revision = watched.source.revision()
            watched.told.discard(subject)
            if not (anyway or self._is_due(watched, revision)):
                return
            if anyway or revision != watched.revision:
                watched.told.clear()
            subject = "its hosts stay as they are"
            watched.revision, watched.retry_at = revision, None
            self._renew(watched)
        # VPollerError, or whatever an agent's attributes may be.
        except Exception as error:
            self._complain(watched, subject, error)

    def _is_due(self, watched: Watched, revision: Hashable) -> bool:
        if revision != watched.revision:
            return True
        return watched.retry_at is not None and self._clock() >= watched.retry_at

    def _renew(self, watched: Watched) -> None:
        found = watched.candidates()
        # Whoever contradicts another one is found before anything is set up.
        AgentHost([*found, *(a for w in self._watched if w is not watched for a in w.agents)])
        present = [id(agent) for agent in watched.agents]
        ready = [agent for agent in found if id(agent) in present or self._set_up(agent, watched)]
        if [id(agent) for agent in ready] != present:
            watched.agents = ready
            self._announce(self.agents)

    def _set_up(self, agent: Agent, watched: Watched) -> bool:
        try:
            set_up(agent)
        except VPollerError as error:
            hosts = ", ".join(agent.hostnames or ["any"])
            self._complain(watched, f"host {hosts} is not served", error)
            return False
        return True

    def _complain(self, watched: Watched, subject: str, error: Exception) -> None:
        """Say once what is wrong, and arrange for another try."""
        watched.retry_at = self._clock() + RETRY
        if subject in watched.told:
            return
        watched.told.add(subject)
        text = f"{type(error).__name__}: {error}"
        if isinstance(error, VPollerError):
            text = error.message
        log.error("agent %s: %s: %s", watched.source.name, subject, VAULT.hide(text))
