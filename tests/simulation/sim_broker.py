"""A simulated broker's machine: one life after another around the real core.

What a life does beside the core is what the real server does: it packs what it gives in one
round, notices by its sends who is gone, and buries those a little later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from tests.simulation.network import CLOSED, Connection, Path
from tests.simulation.world import World
from vpoller_like.broker import events as ev
from vpoller_like.broker.core import BrokerCore
from vpoller_like.broker.packs import Packs, attempts
from vpoller_like.config import BrokerSettings
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.envelope import split
from vpoller_like.protocol.request import parse_head

#: Seconds between two ticks of the core, as in the real server.
TICK = 0.05
#: The same while nobody asks: only that it comes matters then.
SLOW_TICK = 0.4
#: Seconds in which what is given goes into one pack.
ROUND = 0.0003
#: Seconds that a worker which is gone may wait to be buried, at the most.
BURY = 0.2
#: Seconds from a broker's last words to its end.
FAREWELL = 0.25


class Watcher(Protocol):
    """Sees all that brokers do."""

    def born(self, life: BrokerLife) -> None: ...

    def requested(self, life: BrokerLife, request: ev.Request) -> None: ...

    def before(self, life: BrokerLife, event: ev.Event) -> None: ...

    def after(self, life: BrokerLife, event: ev.Event, actions: list[ev.Action]) -> None: ...

    def died(self, life: BrokerLife) -> None: ...


class BrokerLife:
    """One broker from its start to its end."""

    def __init__(
        self, world: World, place: BrokerPlace, number: int, settings: BrokerSettings
    ) -> None:
        self.place = place
        self.number = number
        self.name = f"{place.name}.{number}"
        self.alive = True
        self.started = world.now
        self._world = world
        self._watcher = place.watcher
        self.settings = settings
        self.core = BrokerCore(
            settings,
            now=world.now,
            epoch=place.new_epoch(),
            new_token=lambda: world.dice.randbytes(16),
        )
        self.peers: dict[bytes, Connection] = {}
        self.clients: dict[bytes, Callable[[ev.Reply | None], None]] = {}
        self._peer_number = 0
        self._packs = Packs()
        self._flush_due = False
        self._gone: set[bytes] = set()
        self._unsent: dict[bytes, list[wire.Attempt]] = {}
        self._left = False
        self._draining = False
        self._drain_until = float("inf")
        self._tick_due()

    # Connections -----------------------------------------------------------------------

    def accept(self, path: Path, to_worker: Callable[[Connection, Any], None]) -> Connection:
        """A worker's process connects."""
        self._peer_number += 1
        peer = b"%s/%d" % (self.name.encode(), self._peer_number)
        connection = Connection(self._world, peer, path, self._arrived, to_worker)
        self.peers[peer] = connection
        return connection

    def _arrived(self, connection: Connection, frames: Any) -> None:
        if frames is CLOSED:
            self.closed(connection)
        elif self.alive:
            message = wire.decode_from_worker(list(frames))
            self.feed(ev.WorkerSays(connection.peer, message))

    def closed(self, connection: Connection) -> None:
        """A connection is gone, and the socket knows it; the loop looks rarely, or never."""
        if self.alive and self.peers.pop(connection.peer, None) is not None:
            if self._world.chance(0.1):
                self._world.seen["lost notices"] += 1
            else:
                self._left = True

    def request(self, frames: list[bytes], principal: str) -> None:
        """A client's message arrives; ``frames`` begin with its routing id."""
        if not self.alive:
            return
        envelope, body = split(frames)
        request = ev.Request(envelope, body, parse_head(body), principal=principal)
        self._watcher.requested(self, request)
        self.feed(request)

    # The core --------------------------------------------------------------------------

    def feed(self, event: ev.Event) -> None:
        """Give ``event`` to the core and do what it says."""
        self._watcher.before(self, event)
        actions = self.core.handle(event, self._world.now)
        self._watcher.after(self, event, actions)
        for action in actions:
            self._act(action)

    def _act(self, action: ev.Action) -> None:
        match action:
            case ev.Reply():
                self._reply(action)
            case ev.Give():
                self._packs.add(action)
                if not self._flush_due:
                    self._flush_due = True
                    self._world.after(ROUND * self._world.dice.random(), self._send_packs)
            case ev.Tell():
                self._tell(action.peer, action.message)

    def _reply(self, reply: ev.Reply) -> None:
        self._world.note(self.name, "replies", reply)
        client = self.clients.get(reply.envelope[0])
        if client is not None:
            client(reply)

    def _send_packs(self) -> None:
        self._flush_due = False
        if not self.alive:
            return
        for peer, tasks in self._packs.take():
            if not self._tell(peer, tasks):
                self._unsent.setdefault(peer, []).extend(attempts(tasks.items))

    def _tell(self, peer: bytes, message: wire.FromBroker) -> bool:
        self._world.note(self.name, "tells", (peer, message))
        connection = self.peers.get(peer)
        # A worker that does not read is as good as gone: its message is dropped.
        if connection is None or self._world.chance(0.001):
            if not self._gone:
                self._world.after(BURY * self._world.dice.random(), self._bury)
            self._gone.add(peer)
            if connection is not None:
                connection.path.trouble()
            self._world.seen["sends that failed"] += 1
            return False
        connection.down.send(wire.encode(message))
        return True

    def _bury(self) -> None:
        gone, self._gone = sorted(self._gone), set()
        if not self.alive:
            return
        for peer in gone:
            unsent = [*self._unsent.pop(peer, ()), *self._packs.withdraw(peer)]
            self.feed(ev.PeerGone(peer, unsent))

    # Time ------------------------------------------------------------------------------

    def _tick_due(self) -> None:
        self._world.after(SLOW_TICK if self._world.resting else TICK, self._tick)

    def _tick(self) -> None:
        if not self.alive:
            return
        if self._left:
            self._left = False
            self.feed(ev.PeerLeft())
        self.feed(ev.Tick())
        self._drained()
        self._tick_due()

    # The end ---------------------------------------------------------------------------

    def drain(self, seconds: float) -> None:
        """Accept nothing new, finish what was accepted, and end after ``seconds`` at most."""
        self._drain_until = self._world.now + seconds
        self.feed(ev.DrainAsked())
        self._draining = True

    def _drained(self) -> None:
        if not self._draining:
            return
        if self.core.at_rest or self._world.now >= self._drain_until:
            self._draining = False
            self.feed(ev.StopAsked())
            self._world.after(FAREWELL, self.place.end, self)

    def die(self) -> None:
        """End at once, with all memory."""
        self.alive = False
        self._watcher.died(self)
        for connection in self.peers.values():
            connection.up.cut()
            connection.down.send(CLOSED)
        for client in list(self.clients.values()):
            client(None)


class BrokerPlace:
    """Where one broker runs, dies and is started again."""

    def __init__(self, world: World, name: str, settings: BrokerSettings, watcher: Watcher) -> None:
        self.name = name
        self.watcher = watcher
        self.life: BrokerLife | None = None
        self._world = world
        self._settings = settings
        self._lives = 0
        self._epochs: set[int] = set()

    def new_epoch(self) -> int:
        """Return the number of a new life: random, and never used before here."""
        epoch = self._world.dice.getrandbits(23)
        while epoch in self._epochs:
            epoch = self._world.dice.getrandbits(23)
        self._epochs.add(epoch)
        return epoch

    def start(self) -> None:
        """Begin a new life, where there is none."""
        if self.life is None:
            self.life = BrokerLife(self._world, self, self._lives, self._settings)
            self._lives += 1
            self.watcher.born(self.life)
            self._world.note(self.life.name, "starts")

    def crash(self) -> None:
        """End, and start again some time later."""
        if self.life is not None:
            self.end(self.life)
            self._world.after(self._world.spread(0.2, 3.0), self.start)

    def restart_gently(self, seconds: float) -> None:
        """Drain for ``seconds`` at most, end, and start again."""
        if self.life is not None:
            self.life.drain(seconds)
            self._world.after(seconds + 1.0 + self._world.dice.random(), self.start)

    def end(self, life: BrokerLife) -> None:
        """The process of ``life`` is gone."""
        if life is self.life:
            self.life = None
            self._world.note(life.name, "dies")
            life.die()
