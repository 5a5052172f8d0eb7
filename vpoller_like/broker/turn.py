"""What the broker's loop does again and again: requests and results in, tasks and replies out."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.doors import Doors
from vpoller_like.broker.events import Event, Give, Reply, WorkerGarbled, WorkerSays
from vpoller_like.broker.gone import Gone
from vpoller_like.broker.intake import Inbox
from vpoller_like.broker.lull import Lull
from vpoller_like.broker.machine import Machine
from vpoller_like.broker.packs import Packs, attempts, reply_messages
from vpoller_like.clock import Clock
from vpoller_like.errors import ProtocolError
from vpoller_like.protocol import worker as wire
from vpoller_like.transport.message import DONE
from vpoller_like.transport.port import Message

log = logging.getLogger("vpoller.broker")


@compiled
class Turn(ABC):
    """Moves what the doors have to the core, and what that wants to the doors.

    Who derives from it enters who does the core's seldom actions (``_perform``), does in ``seldom``
    all that there is to do beside requests and results, and sets when that is due (``_next_tick``).
    """

    def __init__(
        self, core: Machine, doors: Doors, inbox: Inbox, replies: list[Reply], clock: Clock
    ) -> None:
        self._core = core
        self._doors = doors
        self._inbox = inbox
        self._clock = clock
        #: What is to be sent to clients in this turn.
        self._replies = replies
        self._packs = Packs()
        self._gone = Gone(self._packs)
        self._lull = Lull()
        self._perform: dict[type[Any], Callable[[Any], object]] = {}
        self._next_tick = 0.0
        #: When there is something to do even if nothing comes in.
        self._due = 0.0

    def turn(self) -> None:
        """Wait for something to do, and do it."""
        ready = self._wait()
        if self._is_rare(ready):
            self.seldom(ready)
        self._frontend(ready)
        self._backend(ready)
        if self._gone.any:
            self.gone_workers(ready)
        if self._replies:
            self._send_replies()
        if self._packs.open:
            self._send_packs()

    # Time ------------------------------------------------------------------------------

    def _wait(self) -> set[Any]:
        """Wait for something to do, until the next tick."""
        doors, lull = self._doors, self._lull
        poll = doors.poll
        self._due = min(
            self._next_tick,
            doors.frontend_outbox.due,
            doors.backend_outbox.due,
            doors.admin_outbox.due,
        )
        if not lull.is_stirred and not self._core.is_idle:
            lull.stir()
        if self._gone.any or self._inbox.messages:
            return poll.wait(0.0)
        if not lull.is_on:
            return poll.wait(self._due - self._clock())
        if lull.has_heard:
            return poll.wait(self._due - self._clock(), doors.backend)
        ready = poll.wait(0.0)
        lull.has_heard = doors.backend.socket not in ready
        return ready

    def _is_rare(self, ready: set[Any]) -> bool:
        """Say whether there is more to do than requests and results: it is costly to look."""
        return not ready or not ready <= self._doors.busy or self._clock() >= self._due

    # What comes in ---------------------------------------------------------------------

    def _frontend(self, ready: set[Any]) -> None:
        port, inbox = self._doors.frontend, self._inbox
        if not inbox.messages:
            inbox.messages.extend(port.receive(port.socket in ready))
        if inbox.messages:
            self._feed_all(inbox.take(port.asks_users))

    def _backend(self, ready: set[Any]) -> None:
        port = self._doors.backend
        messages = port.receive(port.socket in ready)
        if not messages:
            return
        if port.asks_users:
            self._feed_all(filter(None, map(self.allowed, messages)))
        else:
            self._feed_all([worker_event(message) for message in messages])

    # What goes out ---------------------------------------------------------------------

    def _feed_all(self, events: Iterable[Event]) -> None:
        """Let the core take in ``events``, and do what comes of that."""
        for action in self._core.handle_all(events, self._clock(), self.log_fault):
            if isinstance(action, Reply):
                self._replies.append(action)
            elif isinstance(action, Give):
                self._packs.add(action)
            else:
                self._perform[type(action)](action)

    def _send_replies(self) -> None:
        messages = reply_messages(self._replies)
        self._replies.clear()
        sent = self._doors.frontend_outbox.send_all(messages)
        lost = len(sent) - sent.count(DONE)
        if lost:
            self.undeliverable(lost)

    def _send_packs(self) -> None:
        for peer, tasks in self._packs.take():
            if not self._tell(peer, tasks):
                self._gone.keep(peer, attempts(tasks.items))

    def _tell(self, peer: bytes, message: wire.FromBroker) -> bool:
        sent = self._doors.backend_outbox.send((peer, *wire.encode(message)))
        if sent is not DONE:
            self._gone.note([peer])
        return sent is DONE

    # What is not the usual way ---------------------------------------------------------

    @abstractmethod
    def seldom(self, ready: set[Any]) -> None:
        """Look after everything else, of which there is something to do: see ``_is_rare``."""

    @abstractmethod
    def gone_workers(self, ready: set[Any]) -> None:
        """Give up workers that a send did not find."""

    @abstractmethod
    def allowed(self, message: Message) -> Event | None:
        """Return what a worker says, behind a door that asks who it is; None if it may not."""

    @abstractmethod
    def undeliverable(self, count: int) -> None:
        """So many replies could not be sent, and are lost."""

    @abstractmethod
    def log_fault(self, error: Exception, event: Event) -> None:
        """The core has failed at ``event``."""


def worker_event(message: Message) -> Event:
    """Return what a worker says; ``WorkerGarbled`` if it is no message of the protocol."""
    peer, *frames = message.frames
    try:
        if message.truncated:
            raise ProtocolError("too many frames")
        return WorkerSays(peer, wire.decode_from_worker(frames))
    except ProtocolError as error:
        log.debug("a worker sent what is no message: %s", error)
        return WorkerGarbled(peer)
