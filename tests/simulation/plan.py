"""How large a world is, how long it lasts, and with what settings: drawn from the seed."""

from __future__ import annotations

import enum
from typing import NamedTuple

from tests.simulation.world import World
from vpoller_like.client.policy import Policy
from vpoller_like.config import BrokerSettings, WorkerSettings

#: Seconds that brokers and workers remember ids, and that a forgotten route is waited for.
REMEMBER = 6.0
ROUTE_MEMORY = 3.0


class Weather(enum.Enum):
    """What goes wrong for the most part."""

    MIXED = "mixed"
    #: The network, under tasks that take long: workers come back to find their tasks given away.
    TORN = "torn"


class Plan(NamedTuple):
    """One world's size. Durations are seconds."""

    weather: Weather
    brokers: int
    workers: int
    threads: int
    clients: int
    #: None: clients are nobody in particular, as without CURVE.
    principals: int
    #: For how long things go wrong.
    unrest: float
    #: Seconds between two requests, and between two faults, on average.
    between_requests: float
    between_faults: float
    broker: BrokerSettings
    worker: WorkerSettings
    policy: Policy


def draw(world: World) -> Plan:
    """Draw a plan."""
    dice = world.dice
    weather = dice.choice(list(Weather))
    torn = weather is Weather.TORN
    brokers = dice.choice([1, 2] if torn else [1, 1, 2, 2, 3])
    names = tuple(f"tcp://127.0.0.1:{1 + index}" for index in range(brokers))
    return Plan(
        weather=weather,
        brokers=brokers,
        workers=dice.choice([2, 3] if torn else [1, 2, 2, 3, 3]),
        threads=dice.choice([1, 2, 3]),
        clients=dice.choice([3, 4, 6]),
        principals=dice.choice([0, 1, 2, 3, 3]),
        unrest=dice.choice([6.0, 9.0, 12.0]),
        between_requests=world.spread(0.06, 0.3),
        between_faults=world.spread(0.15, 0.4) if torn else world.spread(0.2, 1.0),
        broker=_broker_settings(world),
        worker=_worker_settings(world, names),
        policy=Policy(names, timeout=dice.choice([0.4, 1.0, 2.0]), retries=dice.choice([2, 4])),
    )


def _broker_settings(world: World) -> BrokerSettings:
    dice = world.dice
    heartbeat = dice.choice([300, 500, 1000])
    return BrokerSettings(
        heartbeat_ms=heartbeat,
        liveness_ms=3 * heartbeat,
        max_in_flight=dice.choice([3, 6, 20_000, 20_000]),
        queue_length=dice.choice([3, 8, 1000]),
        queue_bytes=dice.choice([4096, 16384, 1 << 20]),
        default_deadline_ms=4000,
        grace_ms=dice.choice([1, 500, 2000]),
        route_memory_ms=round(ROUTE_MEMORY * 1000),
        remember_ms=round(REMEMBER * 1000),
        remember_bytes=dice.choice([2048, 6000, 1 << 20, 1 << 20]),
        max_attempts=dice.choice([2, 3]),
    )


def _worker_settings(world: World, names: tuple[str, ...]) -> WorkerSettings:
    dice = world.dice
    return WorkerSettings(
        backends=list(names),
        threads=dice.choice([1, 2, 3]),
        remember_ms=round(REMEMBER * 1000),
        remember_bytes=dice.choice([2048, 1 << 20, 1 << 20]),
        drain_ms=dice.choice([500, 3000]),
    )
