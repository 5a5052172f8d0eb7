"""The workers: who is registered, what they say, and when they are given up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from vpoller_like.broker.counters import Counters
from vpoller_like.broker.dispatcher import Dispatcher
from vpoller_like.broker.events import Action, Tell, WorkerSays
from vpoller_like.broker.memory import Memory
from vpoller_like.broker.reception import Reception
from vpoller_like.broker.rhythm import Rhythm
from vpoller_like.broker.routing import Directory, Route
from vpoller_like.broker.seekers import Seekers
from vpoller_like.broker.state import State
from vpoller_like.broker.task import Task
from vpoller_like.broker.throttle import Throttle
from vpoller_like.broker.worker import Worker
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import ProtocolError
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import DECODE_FAULTS, Encoding
from vpoller_like.protocol.limits import MAX_OFFERS

log = logging.getLogger("vpoller.broker")

#: What a worker is told whose key lets it do nothing here.
KEY_REFUSED = "its key is not authorised as a worker's"


class Roster(Reception):
    """Owns every :class:`~.worker.Worker`. ``epoch`` names this life of the broker."""

    _dispatcher: Dispatcher

    def __init__(
        self,
        settings: BrokerSettings,
        directory: Directory,
        dispatcher: Dispatcher,
        memory: Memory,
        seekers: Seekers,
        counters: Counters,
        out: list[Action],
        *,
        epoch: str,
    ) -> None:
        super().__init__(dispatcher)
        self._directory = directory
        self._memory = memory
        self._seekers = seekers
        self._counters = counters
        self._out = out
        self._epoch = epoch
        self._max_reply = settings.max_reply
        self._rhythm = Rhythm(settings)
        self._take_rhythm()
        self.workers: dict[str, Worker] = {}
        self._next_heartbeat = 0.0
        self._someone_left = False
        #: Before this, nobody can have been silent for too long.
        self._silence_due = 0.0
        self._refusals = Throttle()
        self._listen: dict[type[Any], Callable[[Worker, Any, float], None]] = {
            wire.Return: self._return,
            wire.Have: self._seekers.answered,
            wire.Drain: self._drain,
            wire.Bye: self._bye,
        }

    def introduced(self, event: WorkerSays, now: float) -> None:
        """Let a worker introduce itself, and ask anybody else to do so."""
        if isinstance(event.message, wire.Hello):
            self._hello(event.peer, event.message, now, event.key)
        else:
            self.stranger(event.peer)

    def unusual(self, worker: Worker, message: wire.FromWorker, now: float) -> None:
        """Take in what workers say seldom."""
        self._listen[type(message)](worker, message, now)

    def stranger(self, peer: bytes) -> None:
        """Somebody who is not registered has spoken: ask for an introduction."""
        self._counters.resyncs += 1
        self._out.append(Tell(peer, wire.Resync()))

    def garbled(self, peer: bytes) -> None:
        """What came from ``peer`` is no message."""
        self._counters.garbled += 1
        if peer not in self._by_peer:
            self.stranger(peer)

    # Introduction ----------------------------------------------------------------------

    def _hello(self, peer: bytes, hello: wire.Hello, now: float, key: str) -> None:
        if hello.version != wire.VERSION:
            self._warn(
                hello, f"it speaks protocol {hello.version}, this broker {wire.VERSION}", now
            )
            self._refuse(peer, f"this broker speaks version {wire.VERSION} of the protocol")
            return
        try:
            signature = _signature(hello.offers)
        except ProtocolError as error:
            # Not RESYNC: it would say the same again.
            self._warn(hello, error.message, now)
            self._counters.garbled += 1
            self._refuse(peer, "its offers cannot be read, or are too large")
            return
        other = self.workers.get(hello.instance)
        if other is not None and other.key != key:
            self._warn(hello, f"it gives itself out as {other.label}, which has another key", now)
            self._counters.unauthorized += 1
            self._refuse(peer, "another worker of this instance is known, with another key")
            return
        self._leave_peer(peer, hello.instance, now)
        worker, routes = self._register(peer, hello, signature, now)
        worker.key = key
        if not self._fit_rhythm(now):
            self._out.append(Tell(peer, self._welcome))
        self._settle_held(worker, hello.held, now)
        worker.pool.place(worker)
        self._seekers.worker_joined(worker, now)
        for route in routes:
            self._dispatcher.serve_route(route, now)
        self._dispatcher.serve(worker.pool, now)

    def _fit_rhythm(self, now: float) -> bool:
        """Say whether the number of workers asks for other intervals, and tell all of them so.

        It does each time that they have become twice as many, or half as many.
        """
        if not self._rhythm.fit(len(self.workers)):
            return False
        self._take_rhythm()
        self._silence_due = now
        self._next_heartbeat = min(self._next_heartbeat, now + self._heartbeat)
        for worker in self.workers.values():
            if not worker.stale:
                worker.last_heard = now  # it has kept to the other ones until now
                self._out.append(Tell(worker.peer, self._welcome))
        return True

    def _take_rhythm(self) -> None:
        self._heartbeat = self._rhythm.heartbeat_ms / 1000
        self._liveness = self._rhythm.liveness_ms / 1000
        self._welcome = wire.Welcome(
            version=wire.VERSION,
            epoch=self._epoch,
            heartbeat_ms=self._rhythm.heartbeat_ms,
            liveness_ms=self._rhythm.liveness_ms,
            max_reply=self._max_reply,
        )

    def _refuse(self, peer: bytes, reason: str) -> None:
        """Unlike SHUTDOWN, this leaves the worker to its other brokers, and to try again."""
        self._out.append(Tell(peer, wire.Refused(reason)))

    def _warn(self, hello: wire.Hello, why: str, now: float) -> None:
        """Tell of a worker that is sent away; it may come again at once."""
        others = self._refusals.others(now)
        if others is not None:
            log.warning("worker %r is sent away: %s%s", hello.label, why, others)

    def _leave_peer(self, peer: bytes, instance: str, now: float) -> None:
        """A connection belongs to one worker: the one that spoke last."""
        other = self._by_peer.get(peer)
        if other is not None and other.instance != instance:
            self.lose(other, "its connection was taken by another worker", now)

    def _register(
        self, peer: bytes, hello: wire.Hello, signature: bytes, now: float
    ) -> tuple[Worker, list[Route]]:
        """Return the worker, and the routes that nobody of its kind served before."""
        worker = self.workers.get(hello.instance)
        if worker is not None:
            self._by_peer.pop(worker.peer, None)
            if worker.pool.signature != signature:
                self._directory.leave(worker, now)
        pool, routes = self._directory.pool(signature, hello.offers)
        if worker is None:
            worker = Worker(peer, hello, pool, now)
            log.info("worker %s registered (pid %s)", worker.label, worker.pid)
        else:
            worker.greet(peer, hello, pool, now)
        self._by_peer[peer] = self.workers[worker.instance] = pool.workers[worker.instance] = worker
        return worker, routes

    def _settle_held(self, worker: Worker, held: list[wire.Held], now: float) -> None:
        """Take up what ``worker`` brings along, and take back what never reached it."""
        brought = {(item.task, item.attempt) for item in held}
        lost = [t for n, t in worker.tasks.items() if (n, t.attempt) not in brought]
        unwanted = [
            wire.Attempt(item.task, item.attempt)
            for item in held
            if not self._take_up(worker, item, now)
        ]
        if unwanted:
            self._out.append(Tell(worker.peer, wire.Cancel(unwanted)))
        # What it had room for before counts no more when the next ones are given.
        worker.pool.place(worker)
        for task in reversed(lost):
            self._dispatcher.take_back(task, now)

    def _take_up(self, worker: Worker, held: wire.Held, now: float) -> bool:
        """Say whether the result of ``held`` is wanted, and expect it if so."""
        known = self._dispatcher.live.get(held.task)
        if known is not None:
            return self._is_current(worker, known, held)
        if held.id is None or not worker.pool.serves(held.method, held.hostname):
            return False
        key = (held.principal, held.id)
        task = self._dispatcher.by_key.get(key)
        if task is None:
            return key not in self._memory and self._adopt(worker, held, now)
        if task.fingerprint != held.fingerprint or not _may_run(worker, task):
            return False
        if task.state not in (State.QUEUED, State.SEEKING):
            return False
        self._seekers.forget(task)
        self._dispatcher.take_up(worker, task, held.task, held.attempt)
        return True

    def _is_current(self, worker: Worker, task: Task, held: wire.Held) -> bool:
        if task.attempt != held.attempt:
            return False
        # Numbers can be guessed: what was never given cannot run, nor where it is not served.
        if task.state is State.QUEUED and task.attempt and _may_run(worker, task):
            self._dispatcher.take_up(worker, task, held.task, held.attempt)
        return task.worker is worker

    def _adopt(self, worker: Worker, held: wire.Held, now: float) -> bool:
        """Expect the result of a run that a broker before this one began."""
        assert held.id is not None
        route = self._directory.route(held.method, held.hostname, now)
        task = Task(
            held.task,
            route,
            None,
            share=("worker", worker.peer),
            encoding=Encoding.JSON,
            arrived=now,
            deadline=now,
            given_at=now,
            priority=0,
            key=(held.principal, held.id),
            fingerprint=held.fingerprint,
        )
        # It waits in no queue, from which it would have to be taken.
        task.state = State.RUNNING
        self._dispatcher.open(task)
        self._dispatcher.take_up(worker, task, held.task, held.attempt)
        return True

    # While it works --------------------------------------------------------------------

    def _return(self, worker: Worker, message: wire.Return, now: float) -> None:
        # The grant first, so that what comes back is not sent there again.
        worker.slots = message.slots
        worker.ahead = message.ahead
        worker.pool.place(worker)
        for item in reversed(message.items):
            task = worker.tasks.get(item.task)
            if task is not None and task.attempt == item.attempt:
                worker.returned += 1
                self._dispatcher.take_back(task, now)
        self._grant(worker, message.slots, message.ahead, now)

    def _drain(self, worker: Worker, message: wire.Drain, now: float) -> None:  # noqa: ARG002
        self._close(worker)

    def _bye(self, worker: Worker, message: wire.Bye, now: float) -> None:  # noqa: ARG002
        self._remove(worker, now)
        log.info("worker %s left", worker.label)

    # Its end ---------------------------------------------------------------------------

    def send_away(self, instances: Iterable[str]) -> None:
        """Have these workers finish what they hold, and end."""
        for worker in [self.workers[i] for i in instances if i in self.workers]:
            if worker.draining and not worker.stale:
                continue  # It was told, or said so itself.
            log.info("worker %s (pid %s) is told to drain", worker.label, worker.pid)
            self._close(worker)
            self._out.append(Tell(worker.peer, wire.Shutdown()))

    def revoke(self, keys: frozenset[str], now: float) -> None:
        """Give up the workers with these keys at once."""
        revoked = [worker for worker in self.workers.values() if worker.key in keys]
        # All of them first: what one of them held is not to be given to another one.
        for worker in revoked:
            self._close(worker)
        for worker in revoked:
            self._refuse(worker.peer, KEY_REFUSED)
            self.lose(worker, "its key is no worker's any more", now)

    def greet_anew(self, keys: frozenset[str]) -> None:
        """Have the workers with these keys say again what they serve.

        They keep what they hold and are given nothing until they have; one that does not
        within the liveness is given up as if it were silent.
        """
        for worker in self.workers.values():
            if worker.key in keys:
                self._close(worker)
                worker.stale = True
                self._out.append(Tell(worker.peer, wire.Resync()))

    def unreachable(self, peer: bytes, unsent: Sequence[wire.Attempt], now: float) -> None:
        """A send found nobody at ``peer``; ``unsent`` never left, and is no loss."""
        worker = self._by_peer.get(peer)
        if worker is None:
            return
        self._close(worker)
        for item in reversed(unsent):
            task = worker.tasks.get(item.task)
            if task is not None and task.attempt == item.attempt:
                self._dispatcher.take_back(task, now)
        self.lose(worker, "its connection is closed", now)

    def _close(self, worker: Worker) -> None:
        """Give ``worker`` nothing more."""
        worker.draining = True
        self._acks.hasten(worker)
        worker.pool.place(worker)

    def lose(self, worker: Worker, why: str, now: float) -> None:
        """Give ``worker`` up."""
        log.warning(
            "worker %s (pid %s) lost with %d tasks: %s",
            worker.label,
            worker.pid,
            len(worker.tasks),
            why,
        )
        self._counters.lost_workers += 1
        self._remove(worker, now)

    def _remove(self, worker: Worker, now: float) -> None:
        del self.workers[worker.instance]
        self._by_peer.pop(worker.peer, None)
        self._acks.forget(worker)
        self._directory.leave(worker, now)
        for task in list(reversed(worker.tasks.values())):
            self._dispatcher.worker_lost(task, now)
        self._seekers.worker_left(worker, now)
        self._fit_rhythm(now)

    # Time ------------------------------------------------------------------------------

    def someone_left(self) -> None:
        """Have every worker told something at the next tick: a send to who is gone fails at once.

        Not now: when a thousand leave, each would be a reason.
        """
        self._someone_left = True

    def _probe(self) -> None:
        self._someone_left = False
        for worker in self.workers.values():
            self._out.append(Tell(worker.peer, wire.Alive()))

    def tick(self, now: float, paused: float) -> None:
        """Acknowledge, give up who is silent, and show that the broker lives.

        ``paused`` is for how many seconds the broker itself stood still; nobody could
        be heard meanwhile.
        """
        self.acknowledge(now)
        if paused:
            for worker in self.workers.values():
                worker.last_heard = min(now, worker.last_heard + paused)
        if now > self._silence_due:
            self._give_up_silent(now)
        if now >= self._next_heartbeat:
            self._next_heartbeat = now + self._heartbeat
            self._probe()
        elif self._someone_left:
            self._probe()

    def _give_up_silent(self, now: float) -> None:
        """Give up who is silent, and find out before when nobody else can be.

        So a thousand workers are not looked at with every tick.
        """
        silent = [w for w in self.workers.values() if now - w.last_heard > self._liveness]
        # All of them first: what one of them held is not to be given to another one.
        for worker in silent:
            self._close(worker)
        for worker in silent:
            what = "asked in vain for a HELLO" if worker.stale else "silent"
            self.lose(worker, f"{what} for {now - worker.last_heard:.1f} s", now)
        heard = min((worker.last_heard for worker in self.workers.values()), default=now)
        self._silence_due = heard + self._liveness

    def hurry(self) -> None:
        """The broker is to end: from now on nobody waits for an ACK beyond the next tick."""
        self._acks.hurry()

    def acknowledge(self, now: float) -> None:
        """Tell workers what has arrived of theirs, where that is due."""
        for worker in self._acks.take(now):
            self._out.append(Tell(worker.peer, wire.Ack(worker.ack)))


def _may_run(worker: Worker, task: Task) -> bool:
    return worker.pool.serves(task.route.method, task.route.hostname)


def _signature(offers: list[wire.Offer]) -> bytes:
    """Return what is equal for workers that offer the same; raise ``ProtocolError`` for no offers.

    MessagePack has values that JSON has not, and ``methods`` tells of offers in JSON.
    """
    try:
        signature = msgspec.json.encode(offers)
    except DECODE_FAULTS as error:
        raise ProtocolError(f"it offers what JSON cannot say: {str(error)!r}") from error
    if len(signature) > MAX_OFFERS:
        raise ProtocolError(
            f"it offers methods of {len(signature)} bytes, more than the {MAX_OFFERS} allowed"
        )
    return signature
