"""Wires that keep order, and what can happen to them.

A wire is one direction of one connection: what is put in comes out in that order, as in
ZeroMQ, while two wires know nothing of each other, so that what is said by different peers
arrives in any order. A wire can be *held* (a partition: what is sent waits), *released* (it all
comes at once) and *cut* (whatever is under way is lost, and nobody is told).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.world import World

#: The last thing that comes out of a wire whose other end has closed.
CLOSED = None


class Wire:
    """``arrive`` gets what comes out; ``typical`` is its usual latency in seconds."""

    def __init__(self, world: World, typical: float, arrive: Callable[[Any], None]) -> None:
        self._world = world
        self._typical = typical
        self._arrive = arrive
        self._last = world.now
        self._held: list[Any] | None = None
        self.is_cut = False

    def send(self, item: Any) -> None:
        """Put ``item`` in; it comes out, or does not."""
        if self.is_cut:
            return
        if self._held is not None:
            self._held.append(item)
            return
        latency = self._typical * (0.5 + self._world.dice.random())
        if self._world.chance(0.02):
            latency += self._world.dice.random() * 0.3
        self._last = max(self._last, self._world.now + latency)
        self._world.at(self._last, self._land, item)

    def _land(self, item: Any) -> None:
        if not self.is_cut:
            self._arrive(item)

    def hold(self) -> None:
        """What is sent from now on waits; what is under way is past the cut already."""
        if self._held is None:
            self._held = []

    def release(self) -> None:
        """What was held comes out."""
        held, self._held = self._held, None
        for item in held or ():
            self.send(item)

    def cut(self) -> None:
        """Lose everything."""
        self.is_cut = True


class Connection:
    """Two wires between a worker's process and one life of a broker.

    ``peer`` is the routing id by which the broker knows it. Each end learns of the other's
    end by itself, or never.
    """

    def __init__(
        self,
        world: World,
        peer: bytes,
        path: Path,
        to_broker: Callable[[Connection, Any], None],
        to_worker: Callable[[Connection, Any], None],
    ) -> None:
        self.peer = peer
        self.path = path
        self.up = Wire(world, path.typical, lambda item: to_broker(self, item))
        self.down = Wire(world, path.typical, lambda item: to_worker(self, item))

    def hold(self, up: bool, down: bool) -> None:
        """Let nothing pass in these directions."""
        if up:
            self.up.hold()
        if down:
            self.down.hold()

    def release(self) -> None:
        """Let everything pass again."""
        self.up.release()
        self.down.release()

    @property
    def is_cut(self) -> bool:
        """Whether nothing passes it any more."""
        return self.up.is_cut or self.down.is_cut

    def cut(self) -> None:
        """Lose all that is under way."""
        self.up.cut()
        self.down.cut()


class Path:
    """The network between one worker's place and one broker: whoever connects passes it."""

    def __init__(self, world: World, typical: float) -> None:
        self.typical = typical
        self._world = world
        self.held_up = False
        self.held_down = False
        self.connections: list[Connection] = []
        #: When something was last wrong here; monotonic seconds.
        self.troubled_at = world.now

    @property
    def is_open(self) -> bool:
        """Whether a new connection can be made."""
        return not (self.held_up or self.held_down)

    @property
    def well_since(self) -> float:
        """Since when everything has passed; never, while it does not."""
        return self.troubled_at if self.is_open else float("inf")

    def trouble(self) -> None:
        """Something is wrong here now."""
        self.troubled_at = self._world.now

    def part(self, up: bool, down: bool) -> None:
        """A partition begins."""
        self.trouble()
        self.held_up, self.held_down = up, down
        for connection in self.connections:
            connection.hold(up, down)

    def heal(self) -> None:
        """The partition is over; what was held arrives."""
        self.trouble()
        self.held_up = self.held_down = False
        for connection in list(self.connections):
            connection.release()
