"""The broker as a state machine: events in, actions out; no sockets, files or clock."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from itertools import count

from vpoller_like.broker import events as ev
from vpoller_like.broker.admission import Admission
from vpoller_like.broker.counters import Counters
from vpoller_like.broker.dispatcher import Dispatcher
from vpoller_like.broker.machine import Machine
from vpoller_like.broker.memory import Memory
from vpoller_like.broker.plain import PlainDesk
from vpoller_like.broker.roster import Roster
from vpoller_like.broker.routing import Directory
from vpoller_like.broker.seekers import Seekers
from vpoller_like.broker.state import State
from vpoller_like.broker.task import Task
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import RequestError, ShuttingDown, TaskFailed, WorkerLost

#: Seconds between two looks at what is idle.
SWEEP = 5.0
#: Bits of a task's number that count; those above name the broker's life.
NUMBER_BITS = 40
#: A pause of the broker itself that is longer than this, in seconds, is not held
#: against the workers.
PAUSE = 0.5


class BrokerCore(Machine):
    """Joins the broker's parts. All times are monotonic seconds.

    ``epoch`` is a random number below 2**23, new at each start, that marks the numbers of
    this life's tasks. ``new_token`` returns bytes that cannot be guessed.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        *,
        now: float,
        epoch: int,
        new_token: Callable[[], bytes],
    ) -> None:
        super().__init__()
        self.settings = settings
        self.epoch = f"{epoch:06x}"
        self.started = now
        self.counters = Counters()
        self._numbers = count((epoch << NUMBER_BITS) + 1)
        self._last_tick = now
        self._next_sweep = now + SWEEP
        self._grace_until = now + settings.grace_ms / 1000
        self._in_grace = True
        self._build(settings, now, new_token)
        self._handlers = {
            ev.Request: self.admission.request,
            ev.WorkerSays: self.roster.says,
            ev.WorkerGarbled: lambda e, _: self.roster.garbled(e.peer),
            ev.PeerGone: lambda e, at: self.roster.unreachable(e.peer, e.unsent, at),
            ev.PeerLeft: lambda *_: self.roster.someone_left(),
            ev.PlainReply: lambda e, at: self.plain.replied(e.token, e.body, at),
            ev.PlainGarbled: lambda e, at: self.plain.garbled(e.token, at),
            ev.PlainPeers: self._plain_peers,
            ev.PlainRefused: lambda e, at: self.plain.refused(e.token, at),
            ev.Tick: self._tick,
            ev.KeysChanged: self._keys_changed,
            ev.WorkersToLeave: lambda e, _: self.roster.send_away(e.instances),
            ev.DrainAsked: self._drain,
            ev.StopAsked: self._stop,
        }

    def _build(self, settings: BrokerSettings, now: float, new_token: Callable[[], bytes]) -> None:
        out, counters = self._out, self.counters
        self.memory = Memory(
            now, settings.remember_ms / 1000, settings.remember_bytes, settings.remember_count
        )
        self.directory = Directory(settings.route_memory_ms / 1000)
        self.dispatcher = self._flow = Dispatcher(settings, self.memory, counters, out)
        self.plain = PlainDesk(
            self.dispatcher,
            counters,
            out,
            new_token=new_token,
        )
        self.admission = Admission(
            settings,
            self.directory,
            self.dispatcher,
            self.memory,
            self.plain,
            counters,
            grace_until=self._grace_until,
            numbers=self._numbers,
        )
        self.seekers = Seekers(
            self.directory,
            self.dispatcher,
            counters,
            out,
            patience=settings.liveness_ms / 1000,
            max_searches=settings.max_searches,
            grace_until=self._grace_until,
            not_found=self.admission.not_found,
        )
        self.admission.attach(self.seekers)
        self.roster = Roster(
            settings,
            self.directory,
            self.dispatcher,
            self.memory,
            self.seekers,
            counters,
            out,
            epoch=self.epoch,
        )

    def failed(self, event: ev.Event, now: float) -> None:
        """Clear up after ``event`` has not been handled to its end.

        A request is answered, as a task or as none; whatever else was half done stays so.
        """
        self.counters.internal_errors += 1
        if type(event) is ev.Request:
            task = self._accepted(event)
            if task is not None:
                self._give_up(task, _broken(), now)
            elif not self._is_waited_for(event):
                with suppress(Exception):
                    self.admission.refuse(event, _broken())

    def _accepted(self, request: ev.Request) -> Task | None:
        """Return the task that ``request`` has just become, if it came as far as that."""
        task = self.admission.begun
        if task is None or task.number not in self.dispatcher.live:
            return None
        return task if any(waiter is request for waiter in task.waiters) else None

    def _give_up(self, task: Task, error: RequestError, now: float) -> None:
        """Answer ``task`` with ``error``, wherever it is; where that fails too, forget it."""
        with suppress(Exception):
            self._let_go(task)
        try:
            self.dispatcher.fail(task, error, now)
        except Exception:
            self.counters.internal_errors += 1
            with suppress(Exception):
                self.dispatcher.close(task)

    def _is_waited_for(self, request: ev.Request) -> bool:
        whose = (request.envelope, request.index)
        live = self.dispatcher.live.values()
        return any((w.envelope, w.index) == whose for task in live for w in task.waiters)

    @property
    def draining(self) -> bool:
        """Nothing new is accepted."""
        return self.admission.draining

    @property
    def is_idle(self) -> bool:
        """Nobody waits for anything that a worker may say."""
        return not self.dispatcher.live and not self.admission.draining

    @property
    def at_rest(self) -> bool:
        """Nobody waits for an answer."""
        return not any(task.waiters for task in self.dispatcher.live.values())

    def _keys_changed(self, event: ev.KeysChanged, now: float) -> None:
        self.roster.revoke(event.revoked, now)
        self.roster.greet_anew(event.changed)

    # Time ------------------------------------------------------------------------------

    def _tick(self, _: ev.Tick, now: float) -> None:
        gap = now - self._last_tick
        self._last_tick = now
        self._expire(now)
        self.seekers.tick(now)
        self.roster.tick(now, paused=gap if gap > PAUSE else 0.0)
        self.memory.expire(now)
        if self._in_grace and now >= self._grace_until:
            self._in_grace = False
            self._offer_to_plain(now)
        if now >= self._next_sweep:
            self._next_sweep = now + SWEEP
            self.directory.sweep(now)

    def _expire(self, now: float) -> None:
        ways: dict[State, Callable[[Task, float], None]] = {
            State.QUEUED: self.dispatcher.expire,
            State.SEEKING: self.seekers.expire,
            State.PLAIN: self.plain.expire,
        }
        for task in self.dispatcher.timetable.pop_due(now):
            try:
                ways[task.state](task, now)
            except Exception:
                # The others have their turn at the next tick.
                self._give_up(task, _broken(), now)
                raise

    # Plain workers ---------------------------------------------------------------------

    def _plain_peers(self, event: ev.PlainPeers, now: float) -> None:
        self.plain.peers = event.peers
        if not self._in_grace:
            self._offer_to_plain(now)

    def _offer_to_plain(self, now: float) -> None:
        for task in self.admission.only_plain(now):
            self.dispatcher.dequeue(task)
            self.plain.ask(task, now)

    # The end ---------------------------------------------------------------------------

    def _drain(self, _: ev.DrainAsked, __: float) -> None:
        self.admission.draining = True
        self.roster.hurry()

    def _stop(self, _: ev.StopAsked, now: float) -> None:
        self._drain(ev.DrainAsked(), now)
        # Workers that leave wait for it, and nobody else will say it.
        self.roster.acknowledge(now)
        for task in list(self.dispatcher.live.values()):
            self._give_up(task, _farewell(task), now)

    def _let_go(self, task: Task) -> None:
        if task.state is State.QUEUED:
            self.dispatcher.dequeue(task)
        elif task.state is State.SEEKING:
            self.seekers.forget(task)
        elif task.state is State.PLAIN:
            self.plain.forget(task)


def _broken() -> TaskFailed:
    message = "the broker failed in itself; its log says where; the request may have run"
    return TaskFailed(message, reason="internal")


def _farewell(task: Task) -> RequestError:
    """Return what is said of ``task`` where the broker ends before it."""
    if task.state is State.QUEUED:
        return ShuttingDown(f"the broker is shutting down; {task.fate}; ask again")
    return WorkerLost("the broker shut down while the task was with a worker; it may have run")
