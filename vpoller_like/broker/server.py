"""The broker's process: sockets and signals around the core."""

from __future__ import annotations

import gc
import logging
import os
import signal
import traceback
from types import FrameType
from typing import Any

from vpoller_like.broker.admin import Admin
from vpoller_like.broker.core import BrokerCore
from vpoller_like.broker.doors import Doors
from vpoller_like.broker.ending import Ending
from vpoller_like.broker.events import (
    AskPlain,
    DrainAsked,
    Event,
    KeysChanged,
    PeerLeft,
    PlainGarbled,
    PlainPeers,
    PlainRefused,
    PlainReply,
    Reply,
    StopAsked,
    Tell,
    Tick,
)
from vpoller_like.broker.gate import Gate
from vpoller_like.broker.intake import Intake, read_one
from vpoller_like.broker.keyring import Keyring
from vpoller_like.broker.porter import Porter
from vpoller_like.broker.turn import Turn, worker_event
from vpoller_like.broker.watch import Watch
from vpoller_like.clock import Clock, monotonic
from vpoller_like.config import BrokerSettings
from vpoller_like.files import raise_file_limit
from vpoller_like.keys import KeyDirectory
from vpoller_like.protocol import worker as wire
from vpoller_like.transport.message import DONE
from vpoller_like.transport.port import Message
from vpoller_like.transport.waker import Waker

log = logging.getLogger("vpoller.broker")

#: Milliseconds for the last replies to leave.
LINGER_MS = 1000
#: Internal errors that are logged, and after them one of so many.
LOGGED_FAULTS = 20
RARE_FAULTS = 1000


class BrokerServer(Turn):
    """Runs one core over one set of doors until it is told to end.

    ``keys`` is where the broker's key is, and the list of those who may use it.
    """

    _core: BrokerCore

    def __init__(
        self,
        settings: BrokerSettings,
        clock: Clock = monotonic,
        keys: KeyDirectory | None = None,
    ) -> None:
        self._settings = settings
        self._keyring = Keyring(settings, keys or KeyDirectory())
        doors = Doors(settings, self._keyring.pair)
        core = BrokerCore(
            settings,
            now=clock(),
            epoch=int.from_bytes(os.urandom(4), "big") >> 9,
            new_token=lambda: os.urandom(16),
        )
        self._gate = Gate(self._keyring.access, core.counters, clock)
        replies: list[Reply] = []
        intake = Intake(settings, self._gate, core.counters, replies.append)
        super().__init__(core, doors, intake, replies, clock)
        self._watch = Watch(doors)
        self._admin = Admin(
            core, doors.endpoints, self.drain, self._feed, self._watch.usage, self._security
        )
        self._porter = Porter(self._keyring.access, core.counters)
        self._reload_asked = False
        self._waker = Waker()
        doors.poll.watch(self._waker.fd)
        self._ending = Ending(settings.drain_ms / 1000)
        self._stopped = False
        self._perform[Tell] = self._say
        self._perform[AskPlain] = self._ask_plain

    @property
    def endpoints(self) -> dict[str, str]:
        """Where each door is bound, by its name."""
        return self._doors.endpoints

    @property
    def draining(self) -> bool:
        """The end has begun."""
        return self._ending.has_begun

    def run(self) -> None:
        """Serve until :meth:`drain` has finished or :meth:`stop` is called."""
        while not self._stopped:
            self.turn()
        self._refuse_unread()
        self._feed(StopAsked())
        if self._replies:
            self._send_replies()
        self._count_unsent()

    def seldom(self, ready: set[Any]) -> None:
        """Look after all but requests and results; see :class:`~.turn.Turn`."""
        self._woken(ready)
        self._renew_access()
        self._knocks(ready)
        self._plain(ready)
        self._admin_requests(ready)
        self._peers(ready)
        self._tick()
        self._flush()
        self._drained()

    def _refuse_unread(self) -> None:
        """Answer what was taken from the frontend and not read yet: it is refused."""
        self._feed(DrainAsked())
        while self._inbox.messages:
            self._feed_all(self._inbox.take(self._doors.frontend.asks_users))

    def drain(self) -> None:
        """Accept nothing new, finish what was accepted, then end. From any thread."""
        if self._ending.ask(self._clock()):
            self._waker.wake()

    def stop(self) -> None:
        """End now; what is not answered is answered ``shutting_down`` or ``worker_lost``."""
        # In this order: once it is told, the loop may end and close the waker at any moment.
        # Should it be awake and asleep again before that, it finds out at its next tick.
        self._waker.wake()
        self._stopped = True

    def reload(self) -> None:
        """Read the list of those who may use the broker again. From any thread."""
        self._reload_asked = True
        self._waker.wake()

    def close(self) -> None:
        """Close all doors."""
        self._watch.close()
        self._doors.close(LINGER_MS)
        self._waker.close()

    # What comes in ---------------------------------------------------------------------

    def _woken(self, ready: set[Any]) -> None:
        if self._waker.fd in ready:
            self._waker.clear()

    def _renew_access(self) -> None:
        """Act on a list of keys that has changed, on living connections too."""
        if self._reload_asked:
            self._reload_asked = False
            changed = self._keyring.reload()
        else:
            changed = self._keyring.look(self._clock())
        if changed:
            access = self._keyring.access
            revoked = frozenset(key for key in changed if not access.is_worker(key))
            self._feed(KeysChanged(revoked, frozenset(changed) - revoked))

    def _security(self) -> dict[str, Any]:
        access = self._keyring.access
        keys = {"keys": access.counts} if access.asks_keys else {}
        return {"security": self._doors.security | keys}

    def _knocks(self, ready: set[Any]) -> None:
        zap = self._doors.zap
        if zap is not None:
            self._porter.answer(zap, zap.port.socket in ready, self._clock())

    def allowed(self, message: Message) -> Event | None:
        """Return what a worker says; ``None`` for one that is told that it may not."""
        refusal = self._gate.refusal(message.frames[0], message.user)
        if refusal:
            self._tell(message.frames[0], wire.Refused(refusal))
            return None
        return self._gate.worker_event(worker_event(message), message.user)

    def _plain(self, ready: set[Any]) -> None:
        port = self._doors.plain
        for message in port.receive(port.socket in ready):
            self._feed(_plain_event(message))

    def _admin_requests(self, ready: set[Any]) -> None:
        port = self._doors.admin
        for message in port.receive(port.socket in ready):
            limits = self._settings
            request = read_one(
                message.frames, message.truncated, limits.max_request, limits.max_frames
            )
            if not isinstance(request, Reply):
                request = self._gate.admin(request, message.user)
            if not isinstance(request, Reply):
                request = self._admin.answer(request, self._clock())
            self._doors.admin_outbox.send((*request.envelope, request.body))

    def _peers(self, ready: set[Any]) -> None:
        if self._doors.backend_peers.socket in ready and self._doors.backend_peers.read():
            self._feed(PeerLeft())
        if self._doors.plain_peers.socket in ready:
            self._doors.plain_peers.read()
            self._feed(PlainPeers(self._doors.plain_peers.peers))

    def gone_workers(self, ready: set[Any]) -> None:
        """Give up those that sends did not find, once what they had sent before is read."""
        for event in self._gone.take(self._doors.backend.socket in ready, self._clock()):
            self._feed(event)

    # Time ------------------------------------------------------------------------------

    def _tick(self) -> None:
        now = self._clock()
        if now < self._next_tick:
            return
        self._next_tick = now + self._lull.ticked()
        self._feed(Tick())
        self._watch.look(now)

    def _flush(self) -> None:
        self._gone.note(self._doors.flush(self._clock()))

    def _drained(self) -> None:
        if self._ending.has_begun:
            for event in self._ending.events(lambda: self._core.at_rest, self._clock()):
                self._feed(event)
            over = self._ending.is_over(self._doors.unread, self._clock())
            self._stopped = self._stopped or over

    def _count_unsent(self) -> None:
        """Tell of the replies that go with the broker, for their clients did not take them."""
        left = self._doors.unread
        if left:
            self._core.counters.undeliverable += left
            log.warning("%d replies are lost: those who asked did not read them in time", left)

    # What goes out ---------------------------------------------------------------------

    def _feed(self, event: Event) -> None:
        self._feed_all((event,))

    def log_fault(self, error: Exception, event: Event) -> None:
        """Tell of an error that the core made at ``event``."""
        _log_fault(error, event, self._core.counters.internal_errors)

    def undeliverable(self, count: int) -> None:
        """Count the replies that nobody takes."""
        self._core.counters.undeliverable += count

    def _say(self, action: Tell) -> None:
        if type(action.message) is wire.Shutdown:
            # What was given to it before is not to reach it when it has left.
            self._send_packs()
        self._tell(action.peer, action.message)

    def _ask_plain(self, action: AskPlain) -> None:
        if self._doors.plain.send((action.token, b"", action.body)) is not DONE:
            self._feed(PlainRefused(action.token))


def _log_fault(error: Exception, event: Event, count: int) -> None:
    # One that comes with each tick is not to fill the disk.
    if count > LOGGED_FAULTS and count % RARE_FAULTS:
        return
    # Neither the event nor the error's text: a request may hold secrets.
    log.error(
        "internal error %d: %s at a %s; please report it\n%s",
        count,
        type(error).__name__,
        type(event).__name__,
        "".join(traceback.format_tb(error.__traceback__)),
    )


def _plain_event(message: Message) -> Event:
    token, *rest = message.frames
    if len(rest) == 2 and not rest[0] and not message.truncated:
        return PlainReply(token, rest[1])
    return PlainGarbled(token)


def _look_for_cycles_less() -> None:
    """Have Python's collector pass over what stays, and run less often.

    The broker makes few cycles; what waits in it would be looked through again and again.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 100)


def run_broker(settings: BrokerSettings, keys: KeyDirectory | None = None) -> int:
    """Run a broker in the foreground until SIGTERM or SIGINT; return the exit code.

    The first signal drains: what was accepted is finished. A second one ends at once.
    SIGHUP has the list of those who may use the broker read again.
    Raises ``ConfigError`` where an endpoint cannot be bound.
    """
    raise_file_limit(settings.max_files)
    server = BrokerServer(settings, keys=keys)
    _look_for_cycles_less()

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        if server.draining:
            server.stop()
        else:
            server.drain()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, on_signal)
    signal.signal(signal.SIGHUP, lambda *_: server.reload())
    try:
        log.info("ready: %s", ", ".join(f"{k} {v}" for k, v in server.endpoints.items()))
        server.run()
    finally:
        server.close()
    log.info("ended")
    return 0
