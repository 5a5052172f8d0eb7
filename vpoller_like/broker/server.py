"""The broker's process: sockets and signals around the core."""

from __future__ import annotations

import gc
import logging
import os
import signal
import traceback
from collections.abc import Callable, Iterable
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
    Give,
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
    WorkerGarbled,
    WorkerSays,
)
from vpoller_like.broker.gate import Gate
from vpoller_like.broker.gone import Gone
from vpoller_like.broker.intake import Intake, read_one
from vpoller_like.broker.keyring import Keyring
from vpoller_like.broker.lull import Lull
from vpoller_like.broker.packs import Packs, attempts, reply_messages
from vpoller_like.broker.porter import Porter
from vpoller_like.broker.watch import Watch
from vpoller_like.clock import Clock, monotonic
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import ProtocolError
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


class BrokerServer:
    """Runs one core over one set of doors until it is told to end.

    ``keys`` is where the broker's key is, and the list of those who may use it.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        clock: Clock = monotonic,
        keys: KeyDirectory | None = None,
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._keyring = Keyring(settings, keys or KeyDirectory())
        self._doors = Doors(settings, self._keyring.pair)
        self._core = BrokerCore(
            settings,
            now=clock(),
            epoch=int.from_bytes(os.urandom(4), "big") >> 9,
            new_token=lambda: os.urandom(16),
        )
        self._watch = Watch(self._doors)
        self._admin = Admin(
            self._core,
            self._doors.endpoints,
            self.drain,
            self._feed,
            self._watch.usage,
            self._security,
        )
        self._porter = Porter(self._keyring.access, self._core.counters)
        self._gate = Gate(self._keyring.access, self._core.counters, clock)
        self._replies: list[Reply] = []
        self._intake = Intake(settings, self._gate, self._core.counters, self._replies.append)
        self._reload_asked = False
        self._packs = Packs()
        self._waker = Waker()
        self._doors.poll.watch(self._waker.fd)
        self._next_tick = 0.0
        #: When there is something to do even if nothing comes in.
        self._due = 0.0
        self._lull = Lull()
        self._gone = Gone(self._packs)
        self._ending = Ending(settings.drain_ms / 1000)
        self._stopped = False
        self._perform: dict[type[Any], Callable[[Any], object]] = {
            Give: self._packs.add,
            Tell: self._say,
            AskPlain: self._ask_plain,
        }

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
            ready = self._wait()
            if self._is_rare(ready):
                self._woken(ready)
                self._renew_access()
                self._knocks(ready)
                self._plain(ready)
                self._admin_requests(ready)
                self._peers(ready)
                self._tick()
                self._flush()
                self._drained()
            self._frontend(ready)
            self._backend(ready)
            if self._gone.any:
                self._gone_workers(ready)
            if self._replies:
                self._send_replies()
            if self._packs.open:
                self._send_packs()
        self._refuse_unread()
        self._feed(StopAsked())
        if self._replies:
            self._send_replies()
        self._count_unsent()

    def _refuse_unread(self) -> None:
        """Answer what was taken from the frontend and not read yet: it is refused."""
        self._feed(DrainAsked())
        while self._intake.messages:
            self._feed_all(self._intake.take(asks_users=self._doors.frontend.asks_users))

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

    def _frontend(self, ready: set[Any]) -> None:
        port, intake = self._doors.frontend, self._intake
        if not intake.messages:
            intake.messages.extend(port.receive(port.socket in ready))
        if intake.messages:
            self._feed_all(intake.take(asks_users=port.asks_users))

    def _backend(self, ready: set[Any]) -> None:
        port = self._doors.backend
        messages = port.receive(port.socket in ready)
        if not messages:
            return
        if port.asks_users:
            self._feed_all(filter(None, map(self._allowed_event, messages)))
        else:
            self._feed_all(list(map(_worker_event, messages)))

    def _allowed_event(self, message: Message) -> Event | None:
        """Return what a worker says; ``None`` for one that is told that it may not."""
        refusal = self._gate.refusal(message.frames[0], message.user)
        if refusal:
            self._tell(message.frames[0], wire.Refused(refusal))
            return None
        return self._gate.worker_event(_worker_event(message), message.user)

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

    def _gone_workers(self, ready: set[Any]) -> None:
        for event in self._gone.take(self._doors.backend.socket in ready, self._clock()):
            self._feed(event)

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
        if self._gone.any or self._intake.messages:
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

    def _feed_all(self, events: Iterable[Event]) -> None:
        """Let the core take in ``events``, and do what comes of that."""
        perform = self._perform
        for action in self._core.handle_all(events, self._clock(), self._log_fault):
            if type(action) is Reply:
                self._replies.append(action)
            else:
                perform[type(action)](action)

    def _log_fault(self, error: Exception, event: Event) -> None:
        _log_fault(error, event, self._core.counters.internal_errors)

    def _send_replies(self) -> None:
        messages = reply_messages(self._replies)
        self._replies.clear()
        sent = self._doors.frontend_outbox.send_all(messages)
        self._core.counters.undeliverable += len(sent) - sent.count(DONE)

    def _say(self, action: Tell) -> None:
        if type(action.message) is wire.Shutdown:
            # What was given to it before is not to reach it when it has left.
            self._send_packs()
        self._tell(action.peer, action.message)

    def _tell(self, peer: bytes, message: wire.FromBroker) -> bool:
        sent = self._doors.backend_outbox.send((peer, *wire.encode(message)))
        if sent is not DONE:
            self._gone.note([peer])
        return sent is DONE

    def _send_packs(self) -> None:
        for peer, tasks in self._packs.take():
            if not self._tell(peer, tasks):
                self._gone.keep(peer, attempts(tasks.items))

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


def _worker_event(message: Message) -> Event:
    peer, *frames = message.frames
    try:
        if message.truncated:
            raise ProtocolError("too many frames")
        return WorkerSays(peer, wire.decode_from_worker(frames))
    except ProtocolError as error:
        log.debug("a worker sent what is no message: %s", error)
        return WorkerGarbled(peer)


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
