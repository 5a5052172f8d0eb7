"""What is measured of scale: connections, waiting requests, and the cost of one request."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from tests.bench import crowds
from tests.bench.crowds import SETTLING, Broker, Crowd
from tests.bench.schedstat import cpu_ns
from tests.support.fabric import eventually

CLIENTS, WORKERS = 5000, 1000
QUEUED = 100_000
#: Requests under way, fewer than there are workers: each takes a message of its own.
WINDOW = 8
#: How often the broker may be one that is being changed: its worker has slots for these.
SLOTS = 1


class Connections(NamedTuple):
    """What connections cost one broker: bytes for each, and the share of a core while idle."""

    name: str
    per_client: float
    per_worker: float
    per_connection: float
    idle_clients: float
    idle_all: float


class Waiting(NamedTuple):
    """What requests cost that wait: bytes for each, and those beside its body."""

    name: str
    each: float
    beside: float


class Point(NamedTuple):
    """One size in a series: how many there are, and each round's microseconds per request."""

    size: int
    rounds: tuple[float, ...]

    @property
    def cost(self) -> float:
        """The median."""
        return statistics.median(self.rounds)


class Series(NamedTuple):
    """The cost of a request as one number grows."""

    name: str
    points: tuple[Point, ...]

    def ratio(self, point: Point) -> float:
        """Return the cost at ``point`` as a multiple of the first one's in the same round."""
        pairs = zip(point.rounds, self.points[0].rounds, strict=True)
        return statistics.median(cost / first for cost, first in pairs)

    @property
    def growth(self) -> float:
        """The greatest of these."""
        return max(self.ratio(point) for point in self.points)


# Connections ---------------------------------------------------------------------------


def connections(seconds: float, clients: int, workers: int) -> list[Connections]:
    """Measure ``zmq.proxy``, then ours, with so many idle clients and workers."""
    with crowds.proxy() as broker:
        theirs = _connections(broker, seconds, clients, workers, ["idle", broker.backend, "REP"])
    with crowds.ours() as broker:
        found = _connections(broker, seconds, clients, workers, ["workers", broker.backend])
    return [theirs, found]


def _connections(
    broker: Broker, seconds: float, clients: int, workers: int, words: Sequence[str]
) -> Connections:
    broker.idle(SETTLING)
    start = broker.memory()
    with Crowd("idle", broker.frontend, "DEALER", clients):
        broker.idle(SETTLING)
        with_clients = broker.memory()
        idle_clients = broker.idle(seconds)
        more = [SLOTS, 1, 0, "shared"] if words[0] == "workers" else []
        with Crowd(*words, workers, *more):
            broker.idle(2 * SETTLING)
            with_all = broker.memory()
            idle_all = broker.idle(seconds)
    return Connections(
        broker.name,
        (with_clients - start) / clients,
        (with_all - with_clients) / workers,
        (with_all - start) / (clients + workers),
        idle_clients,
        idle_all,
    )


# Waiting requests ----------------------------------------------------------------------


def waiting(kind: str, count: int) -> Waiting:
    """Let ``count`` requests wait at a broker of ours, ``bare`` or with ``meta``."""
    with crowds.ours() as broker, _never(broker):
        broker.idle(SETTLING)
        before = broker.memory()
        with _filled(broker, count, kind) as bodies:
            broker.idle(SETTLING)
            each = (broker.memory() - before) / count
            return Waiting(f"ours, {kind}", each, each - bodies / count)


def waiting_at_proxy(count: int) -> Waiting:
    """The same at ``zmq.proxy``, with no worker there."""
    with crowds.proxy() as broker:
        before = broker.memory()
        with Crowd("fill", broker.frontend, count, "bare") as crowd:
            broker.idle(3 * SETTLING)
            each = (broker.memory() - before) / count
            return Waiting("zmq.proxy, bare", each, each - int(crowd.said[0]) / count)


def _never(broker: Broker) -> Crowd:
    """Register a worker without slots: what it serves waits."""
    return Crowd("workers", broker.backend, 1, 0, 0, 0, "shared")


@contextlib.contextmanager
def _filled(broker: Broker, count: int, kind: str) -> Iterator[int]:
    """Let requests wait; yield how many bytes their bodies have together."""
    if not count:
        yield 0
        return
    fabric = broker.fabric
    assert fabric is not None
    with Crowd("fill", broker.frontend, count, kind) as crowd:
        eventually(lambda: fabric.status()["queued"] >= count, "all requests wait", every=0.1)
        yield int(crowd.said[0])


# The cost of one request ---------------------------------------------------------------


class Setting(NamedTuple):
    """One broker, and what is around it."""

    workers: int = 10
    methods: int = 1
    hosts: int = 0
    whose: str = "shared"
    queued: int = 0


def _workers(size: int) -> Setting:
    return Setting(workers=size)


def _nodes(size: int) -> Setting:
    return Setting(workers=size, hosts=size, whose="own")


def _methods(size: int) -> Setting:
    return Setting(methods=size)


def _hosts(size: int) -> Setting:
    return Setting(hosts=size)


def _queued(size: int) -> Setting:
    return Setting(queued=size)


#: By name: the sizes, and what has that size.
SERIES: dict[str, tuple[tuple[int, ...], Callable[[int], Setting]]] = {
    "workers": ((10, 100, 1000), _workers),
    "workers, each of a host of its own": ((10, 100, 1000), _nodes),
    "methods": ((1, 10, 100, 1000), _methods),
    "hosts": ((1, 10, 100, 1000), _hosts),
    "waiting requests": ((0, 1000, 10_000, 100_000), _queued),
}


def series(name: str, rounds: int, seconds: float) -> Series:
    """Measure a series: all its brokers are up at once, and take turns."""
    sizes, setting = SERIES[name]
    found: dict[int, list[float]] = {size: [] for size in sizes}
    with contextlib.ExitStack() as stack:
        stands = {size: stack.enter_context(_standing(setting(size))) for size in sizes}
        for number in range(rounds + 1):
            for size in sizes if number % 2 else reversed(sizes):
                cost = _cost(*stands[size], seconds)
                if number:  # the first one is to warm up
                    found[size].append(cost)
    return Series(name, tuple(Point(size, tuple(found[size])) for size in sizes))


@contextlib.contextmanager
def _standing(setting: Setting) -> Iterator[tuple[Broker, Crowd]]:
    """Set a broker up; yield it, and who asks it."""
    with contextlib.ExitStack() as stack:
        broker = stack.enter_context(crowds.ours())
        words = (setting.methods, setting.hosts, setting.whose)
        stack.enter_context(Crowd("workers", broker.backend, setting.workers, SLOTS, *words))
        stack.enter_context(_never(broker))
        stack.enter_context(_filled(broker, setting.queued, "meta"))
        load = Crowd("load", broker.frontend, WINDOW, setting.methods, setting.hosts)
        yield broker, stack.enter_context(load)


def _cost(broker: Broker, load: Crowd, seconds: float) -> float:
    """Return the microseconds of the broker's CPU for each request."""
    before = cpu_ns([broker.pid])
    answers = load.ask(seconds)
    return (cpu_ns([broker.pid]) - before) / 1e3 / answers
