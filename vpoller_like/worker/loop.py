"""The loop of one worker: sockets and threads around the core."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Sequence
from typing import Protocol

from vpoller_like.clock import Clock, monotonic
from vpoller_like.config import WorkerSettings
from vpoller_like.errors import ProtocolError
from vpoller_like.protocol import worker as wire
from vpoller_like.transport.curve import Credentials
from vpoller_like.transport.poll import Poll
from vpoller_like.transport.sockets import Context
from vpoller_like.transport.waker import Waker
from vpoller_like.worker import events as ev
from vpoller_like.worker.core import Identity, WorkerCore
from vpoller_like.worker.crew import Crew
from vpoller_like.worker.executor import Executor, Host
from vpoller_like.worker.link import HELLO_EVERY, HELLO_RETRY
from vpoller_like.worker.links import Links
from vpoller_like.worker.turn import Turn

log = logging.getLogger("vpoller.worker")

#: Lanes that show each second that they run; of more, each does so less often.
BRISK_LANES = 32
#: How often a loop shows that it runs, at least, in the time for which it may stand still.
PULSES = 4
#: Lanes that try a broker that is away ten times a second, which takes 1 % of a core.
RETRYING_LANES = 10
#: Milliseconds for the last messages to leave.
LINGER_MS = 1000


def pulse_seconds(settings: WorkerSettings, lanes: int) -> float:
    """Return after how many seconds each of so many lanes is to show that it runs."""
    return min(max(1.0, lanes / BRISK_LANES), settings.stuck_ms / 1000 / PULSES)


def retry_seconds(lanes: int) -> float:
    """Return after how many seconds each of so many lanes tries a broker that is away."""
    return min(HELLO_EVERY, HELLO_RETRY * max(1.0, lanes / RETRYING_LANES))


class Owner(Protocol):
    """The process that a loop is in. The loop's threads call these."""

    def stuck(self, seconds: float) -> None:
        """A task never returns; the loop ends by itself within so many seconds."""

    def leaving(self) -> None:
        """A broker has told the worker to end."""


class WorkerLoop(Turn):
    """Runs one core until it exits.

    It is one of ``lanes`` in its process: the more, the less often each does what idle ones do.
    ``context`` and ``told`` (see :class:`Links`) may be shared; the former is not ended here.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        identity: Identity,
        host: Host,
        offers: Sequence[wire.Offer],
        owner: Owner,
        context: Context,
        credentials: Credentials | None = None,
        lanes: int = 1,
        told: dict[str, str] | None = None,
        clock: Clock = monotonic,
    ) -> None:
        self._settings = settings
        self._owner = owner
        self._label = identity.label
        self._links = Links(context, settings.backends, credentials, told)
        waker = Waker()
        # Not sooner than nobody can use it any more: a thread whose task was given up may
        # come back long after the end, and would write to what has that number then.
        weakref.finalize(waker, os.close, waker.fd)
        core = WorkerCore(settings, identity, offers, retry_seconds(lanes))
        executor = Executor(host, settings.threads, settings.max_reply, clock)
        super().__init__(core, executor, self._links.ports, waker, clock)
        self._worker = core
        self._crew = Crew(self, executor, settings.threads, waker.wake, clock)
        self._poll = self._watch()
        self._pulse_every = pulse_seconds(settings, lanes)
        #: When the loop has last shown that it runs, in the clock's seconds.
        self.pulse = clock()
        self._perform = {
            ev.Recall: self._recall,
            ev.Replace: lambda action: owner.stuck(action.seconds),
            ev.Exit: self._exit,
        }

    def start(self, over: Callable[[BaseException | None], None]) -> None:
        """Serve in threads of its own until the core exits; then say so, or what was raised.

        ``over`` is called in one of them.
        """
        self._crew.start(over)

    # For the owner ---------------------------------------------------------------------

    def drain(self) -> None:
        """Finish what runs, then end; the second call ends at once."""
        self._order(ev.DrainRequested())

    def retire(self) -> None:
        """Others take over: finish what runs, however long that takes, then end."""
        self._order(ev.RetireRequested())

    def remember(self, max_bytes: int, max_count: int) -> None:
        """Remember no more results than this."""
        self._worker.remember(max_bytes, max_count)

    def close(self) -> None:
        """Send what is left to send, and close the sockets. After the end."""
        self._links.close(LINGER_MS)

    def _order(self, event: ev.Event) -> None:
        self._orders.append(event)
        self._waker.wake()

    # What comes in ---------------------------------------------------------------------

    def _garbled(self, index: int, error: ProtocolError) -> None:
        log.warning("broker %s: not a message: %s", self._settings.backends[index], error)

    def _remark(self, index: int, said: wire.FromBroker) -> None:
        if isinstance(said, wire.Welcome):
            self._links.welcomed(index)
            log.info("broker %s: %s is registered", self._settings.backends[index], self._label)
        elif isinstance(said, wire.Shutdown):
            log.info("broker %s: says to drain", self._settings.backends[index])
            self._owner.leaving()
        elif isinstance(said, wire.Refused):
            self._links.refused(index, said.reason)

    def _look_around(self, now: float) -> float | None:
        self._feed(ev.Tick())
        # Not only when it is due: so it needs no waking of its own.
        if now >= self._next_pulse - self._pulse_every / 2:
            self._show_pulse(now)
        return self._core.next_due(now)

    def _show_pulse(self, now: float) -> None:
        self._next_pulse = now + self._pulse_every
        self.pulse = now
        if self._links.look(now):
            self._poll = self._watch()

    def _watch(self) -> Poll:
        poll = Poll()
        for port in self._links.ports:
            poll.watch(port)
        poll.watch(self._waker.fd)
        return poll

    # What goes out ---------------------------------------------------------------------

    def _recall(self, action: ev.Recall) -> None:
        keys = self._executor.take_back(action.keys)
        if keys:
            self._follow(ev.Recalled(keys))

    def _exit(self, action: ev.Exit) -> None:
        self.ended = action.reason
