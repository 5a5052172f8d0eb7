"""The loop of one worker process: sockets, threads and the supervisor around the core."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from vpoller_like.clock import Clock, monotonic
from vpoller_like.config import WorkerSettings
from vpoller_like.errors import ProtocolError
from vpoller_like.protocol import worker as wire
from vpoller_like.transport.curve import Credentials
from vpoller_like.transport.poll import Poll
from vpoller_like.transport.port import Message, Sent
from vpoller_like.transport.waker import Waker
from vpoller_like.worker import events as ev
from vpoller_like.worker.control import Beat, Done, Leaving, Reporter, Stuck
from vpoller_like.worker.core import Identity, WorkerCore
from vpoller_like.worker.crew import Crew
from vpoller_like.worker.executor import Executor, Host
from vpoller_like.worker.guard import Guard
from vpoller_like.worker.links import Links

log = logging.getLogger("vpoller.worker")

#: Seconds between two signs of life to the supervisor, at the most: a process that may stand
#: still for a short time only shows them more often.
BEAT_SECONDS = 1.0
BEATS = 4
#: Milliseconds for the last messages to leave.
LINGER_MS = 1000
#: What a broker says that is not the core's alone.
_REMARKABLE = frozenset([wire.Welcome, wire.Shutdown, wire.Refused])
#: To look up a member of an enumeration takes longer.
_DONE = Sent.DONE


class WorkerLoop:
    """Runs one core until it exits. ``drain`` may be called from a signal handler."""

    def __init__(
        self,
        settings: WorkerSettings,
        identity: Identity,
        host: Host,
        offers: Sequence[wire.Offer],
        reporter: Reporter,
        guard: Guard,
        clock: Clock = monotonic,
        credentials: Credentials | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._reporter = reporter
        self._reporter_fd = reporter.fd
        self._guard = guard
        self._links = Links(settings.backends, credentials)
        self._waker = Waker()
        self._executor = Executor(host, settings.threads, settings.max_reply, clock)
        self._crew = Crew(self, self._executor, settings.threads, self._waker.wake, clock)
        self._core = WorkerCore(settings, identity, offers)
        self._supervised = True
        self._poll = self._watch()
        #: What the core wants done, and what it wants for what has come of that.
        self._actions: list[ev.Action] = []
        self._drains_asked = 0
        self._drains_begun = 0
        self._beat_every = min(BEAT_SECONDS, settings.stuck_ms / 1000 / BEATS)
        self._next_beat = 0.0
        #: When to look around, without being told of anything.
        self._next_look = 0.0
        self._ended: str | None = None
        self._perform: dict[type[Any], Callable[[Any], None]] = {
            ev.Send: self._send,
            ev.Submit: lambda action: self._executor.submit(action.runs),
            ev.Recall: self._recall,
            ev.Replace: lambda action: self._reporter.send(Stuck(action.seconds)),
            ev.Exit: self._exit,
        }

    def run(self) -> str:
        """Serve until the core exits; return its reason. Signal handlers run meanwhile."""
        self._crew.run()
        assert self._ended is not None, "the crew has gone before the end"
        return self._ended

    # For the crew's leader -------------------------------------------------------------

    def settle(self) -> bool:
        """Take in what tasks have come to, and what time has; False when all is over."""
        progress = self._executor.progress()
        if progress is not None:
            self._feed(progress)
        now = self._clock()
        due = self._core.next_due(now)
        if now >= self._next_beat or (due is not None and due <= now):
            due = self._look_around(now)
        self._next_look = self._next_beat if due is None else min(due, self._next_beat)
        return self._ended is None

    def listen(self) -> None:
        """Wait for messages, signals and the supervisor, and take in what there is."""
        patience = 0.0 if self._executor.is_ready else max(0.0, self._next_look - self._clock())
        ready = self._poll.wait(patience)
        if self._waker.fd in ready:
            self._waker.clear()
        for index, port in enumerate(self._links.ports):
            for message in port.receive(port.socket in ready):
                self._take_message(index, message)
        if self._drains_begun < self._drains_asked:
            self._take_signals()
        if self._reporter_fd in ready and self._reporter.closed():
            self._orphan()

    def drain(self) -> None:
        """Finish what runs, then end; the second call ends at once."""
        self._drains_asked += 1
        self._waker.wake()

    def close(self) -> None:
        """Send what is left to send, and close the sockets."""
        self._links.close(LINGER_MS)

    # What comes in ---------------------------------------------------------------------

    def _take_message(self, index: int, message: Message) -> None:
        try:
            said = wire.decode_from_broker(message.frames)
        except ProtocolError as error:
            log.warning("broker %s: not a message: %s", self._settings.backends[index], error)
            return
        if type(said) in _REMARKABLE:
            self._remark(index, said)
        self._feed(ev.Received(index, said))

    def _remark(self, index: int, said: wire.FromBroker) -> None:
        if isinstance(said, wire.Welcome):
            self._links.welcomed(index)
            log.info("broker %s: registered", self._settings.backends[index])
        elif isinstance(said, wire.Shutdown):
            log.info("broker %s: says to drain", self._settings.backends[index])
            self._reporter.send(Leaving())
        elif isinstance(said, wire.Refused):
            log.error(
                "broker %s: does not take this worker: %s; trying again",
                self._settings.backends[index],
                said.reason,
            )

    def _take_signals(self) -> None:
        while self._drains_begun < self._drains_asked:
            self._drains_begun += 1
            log.info("draining")
            self._feed(ev.DrainRequested())

    def _orphan(self) -> None:
        log.warning("supervisor is gone: draining")
        self._supervised = False
        self._poll = self._watch()
        self._guard.expect_end(self._settings.drain_ms / 1000)
        if not self._drains_asked:
            self.drain()

    def _look_around(self, now: float) -> float | None:
        """Do what time asks for; return when the core wants the next Tick."""
        self._feed(ev.Tick())
        if now >= self._next_beat:
            self._beat(now)
        return self._core.next_due(now)

    def _beat(self, now: float) -> None:
        self._next_beat = now + self._beat_every
        self._reporter.send(Beat())
        self._guard.beat()
        if self._links.look(now):
            self._poll = self._watch()

    def _watch(self) -> Poll:
        poll = Poll()
        for port in self._links.ports:
            poll.watch(port)
        poll.watch(self._waker.fd)
        if self._supervised:
            poll.watch(self._reporter_fd)
        return poll

    # What goes out ---------------------------------------------------------------------

    def _feed(self, event: ev.Event) -> None:
        """Give ``event`` to the core and do what it says, and what comes of that, in order."""
        self._actions = actions = self._core.handle(event, self._clock())
        # What comes of them is put behind them meanwhile.
        for action in actions:
            self._perform[type(action)](action)

    def _follow(self, event: ev.Event) -> None:
        self._actions.extend(self._core.handle(event, self._clock()))

    def _send(self, action: ev.Send) -> None:
        sent = self._links.ports[action.link].send(wire.encode(action.message))
        if sent is not _DONE:
            self._follow(ev.Unsent(action.link, action.message))

    def _recall(self, action: ev.Recall) -> None:
        keys = self._executor.take_back(action.keys)
        if keys:
            self._follow(ev.Recalled(keys))

    def _exit(self, action: ev.Exit) -> None:
        self._ended = action.reason
        self._reporter.send(Done())
