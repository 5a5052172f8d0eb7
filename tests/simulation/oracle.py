"""Watches the brokers and the workers, and asks each invariant about what it saw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.about_replies import RepliesGoToWhoAsked
from tests.simulation.asking import Asked, Registry
from tests.simulation.invariant import Answer, Invariant
from tests.simulation.invariants import ALL
from tests.simulation.sim_broker import BrokerLife, BrokerPlace
from tests.simulation.sim_executor import Execution, Executions
from tests.simulation.sim_worker import WorkerPlace
from tests.simulation.world import World
from vpoller_like.broker import events as ev
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import decode_object


class Oracle:
    """The watcher of one world. ``brokers`` and ``workers`` are filled by the scenario."""

    def __init__(self, world: World, registry: Registry) -> None:
        self.world = world
        self.registry = registry
        self.executions = Executions(world, self._started)
        self.brokers: list[BrokerPlace] = []
        self.workers: list[WorkerPlace] = []
        self.lives: list[BrokerLife] = []
        self._pending: dict[str, dict[tuple[bytes, ...], Asked]] = {}
        self._invariants = [kind(self) for kind in ALL]
        self._addressed = next(i for i in self._invariants if isinstance(i, RepliesGoToWhoAsked))
        self._requested = self._hooks("requested")
        self._before = self._hooks("before")
        self._gave = self._hooks("gave")
        self._replied = self._hooks("replied")
        self._after = self._hooks("after")
        self._began = self._hooks("started")

    def _hooks(self, name: str) -> list[Callable[..., None]]:
        """Return the hooks of this name that do something."""
        return [
            getattr(invariant, name)
            for invariant in self._invariants
            if getattr(type(invariant), name) is not getattr(Invariant, name)
        ]

    # What invariants ask ---------------------------------------------------------------

    def pending(self, life: BrokerLife) -> list[Asked]:
        """Return the requests that this life has taken and not answered."""
        return list(self._pending.get(life.name, {}).values())

    def waiting_for(self, life: BrokerLife, item: wire.Assignment) -> list[Asked]:
        """Return those of them that the task ``item`` is to answer."""
        pending = self._pending[life.name].values()
        if item.id is None:
            return [asked for asked in pending if asked.body == item.body]
        key = (item.principal, item.id)
        return [a for a in pending if a.key == key and a.mark == item.fingerprint]

    # What the simulated machines tell --------------------------------------------------

    def born(self, life: BrokerLife) -> None:
        """A broker starts."""
        self.lives.append(life)
        self._pending[life.name] = {}

    def requested(self, life: BrokerLife, request: ev.Request) -> None:
        """A request arrives."""
        asked = self.registry.by_envelope[tuple(request.envelope)]
        asked.arrived_at = self.world.now
        self._pending[life.name][asked.envelope] = asked
        for hook in self._requested:
            hook(life, asked)

    def before(self, life: BrokerLife, event: ev.Event) -> None:
        """A broker's core is about to handle ``event``."""
        self._evicted = life.core.memory.evicted
        for hook in self._before:
            hook(life, event)

    def after(self, life: BrokerLife, event: ev.Event, actions: list[ev.Action]) -> None:
        """A broker's core has handled ``event``, and wants ``actions``."""
        if not isinstance(event, ev.Tick):
            self.world.seen["evictions"] += life.core.memory.evicted - self._evicted
        for action in actions:
            if isinstance(action, ev.Give):
                for hook in self._gave:
                    for assignment in action.items:
                        hook(life, assignment, action.peer)
            elif isinstance(action, ev.Reply):
                self._answered(life, event, action)
        for hook in self._after:
            hook(life, event)

    def _answered(self, life: BrokerLife, event: ev.Event, reply: ev.Reply) -> None:
        asked = self._pending[life.name].pop(tuple(reply.envelope), None)
        if asked is None:
            self._addressed.unasked(life, reply)
            return
        answer = self._read(asked, reply.body)
        asked.code = answer.code
        says_may = "may have run" in answer.fields["msg"]
        asked.in_doubt = says_may and answer.code in ("deadline", "shutting_down")
        asked.refused = answer.code in ("busy", "shutting_down") and not says_may
        self.world.seen[f"answered {answer.code or 'ok'}"] += 1
        for hook in self._replied:
            hook(life, event, answer)

    def _read(self, asked: Asked, body: bytes) -> Answer:
        fields: dict[str, Any] = decode_object(body)
        fields.pop("meta", None)
        number = fields.get("run")
        execution = None if number is None else self.executions.all[number]
        code = (fields.get("error") or {}).get("code", "")
        return Answer(asked, fields, code, execution, len(body))

    def died(self, life: BrokerLife) -> None:
        """A broker is dead, and with it all that was asked of it."""
        self.world.seen["requests lost with a broker"] += len(self._pending[life.name])
        self._pending[life.name] = {}
        self.count(life)

    def count(self, life: BrokerLife) -> None:
        """Add what a broker's life counted to what was seen."""
        for name, number in life.core.counters.as_dict().items():
            self.world.seen[f"broker {name}"] += number

    def _started(self, execution: Execution) -> None:
        for hook in self._began:
            hook(execution)

    # The end ---------------------------------------------------------------------------

    def at_rest(self) -> None:
        """Nobody asks any more, and much time has passed."""
        for life in self.lives:
            if life.alive:
                self.count(life)
        for invariant in self._invariants:
            invariant.at_rest()
