"""The methods that simulated workers serve, and how long they take."""

from __future__ import annotations

from typing import NamedTuple

from tests.simulation.world import World
from vpoller_like.errors import InvalidParams, RequestError, TaskFailed, TooLarge
from vpoller_like.protocol import worker as wire


class Trait(NamedTuple):
    """How a method behaves. Durations are seconds."""

    retry_safe: bool
    shortest: float
    longest: float
    timeout: float = 4.0
    #: How often a run never ends.
    stuck: float = 0.0


METHODS = {
    "look": Trait(True, 0.0002, 0.0015),
    "tap": Trait(False, 0.0002, 0.0015),
    "fetch": Trait(True, 0.01, 0.2),
    "pay": Trait(False, 0.01, 0.4),
    "scan": Trait(True, 0.3, 2.5),
    "move": Trait(False, 0.3, 2.5),
    "sweep": Trait(True, 1.0, 3.5, timeout=5.0),
    "hook": Trait(False, 0.01, 0.1, timeout=1.2, stuck=0.15),
    "host.read": Trait(True, 0.005, 0.05),
    "host.write": Trait(False, 0.005, 0.05),
}
HOSTS = ["h1", "h2"]


def offers(hosts: list[str] | None) -> list[wire.Offer]:
    """Return what a worker serves: everything, the host methods for ``hosts`` alone."""
    general = [_method(name) for name in METHODS if not name.startswith("host.")]
    special = [_method(name) for name in METHODS if name.startswith("host.")]
    found = [wire.Offer(agent="general", methods=general)]
    if hosts:
        found.append(wire.Offer(agent="hosts", methods=special, hosts=hosts))
    return found


def _method(name: str) -> wire.Method:
    trait = METHODS[name]
    return wire.Method(
        name=name, retry_safe=trait.retry_safe, timeout_ms=round(trait.timeout * 1000)
    )


def duration(world: World, method: str) -> float | None:
    """Return for how many seconds a run will last; None for ever."""
    trait = METHODS[method]
    if world.chance(trait.stuck):
        return None
    return world.spread(trait.shortest, trait.longest)


def ending(world: World) -> RequestError | None:
    """Return how a run ends: with an error, or None for a success."""
    roll = world.dice.random()
    if roll < 0.04:
        return TaskFailed("the simulated method failed")
    if roll < 0.06:
        return InvalidParams("the simulated method did not like it")
    if roll < 0.08:
        return TooLarge("the simulated result is larger than allowed")
    return None
