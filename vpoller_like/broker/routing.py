"""Which workers serve which method for which host.

Workers that offer the same things share a :class:`Pool`; a :class:`Route` is a method
and a hostname that somebody asked for, with the tasks that wait for it. A route is
linked to its pools in one of two ways: the pool is among the route's ``ready`` ones, or
the route is among those ``waiting`` for the pool. So neither a dispatch nor a worker that
becomes free looks at more than it moves.
"""

from __future__ import annotations

import math
from collections import OrderedDict, deque
from collections.abc import Iterator, Sequence

import msgspec

from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.fair_queue import FairQueue
from vpoller_like.broker.figures import SPELL
from vpoller_like.broker.worker import Worker
from vpoller_like.protocol.worker import Method, Offer

#: Routes at which the idle ones are forgotten without waiting for the next sweep.
MANY_ROUTES = 10_000
#: Pools without a worker that are remembered at most, and the bytes of their offers together:
#: who comes and goes with ever new offers leaves one behind each time.
MANY_DEPARTED = 1000
DEPARTED_BYTES = 8 << 20


@compiled
class Pool:
    """Workers that offer the same methods for the same hosts."""

    def __init__(self, signature: bytes, offers: Sequence[Offer]) -> None:
        self.signature = signature
        self.offers = offers
        self.methods: dict[str, Method] = {}
        self.workers: dict[str, Worker] = {}
        #: Of all workers together, as they were when each was last placed.
        self.slots = 0
        #: Workers with a free slot, and workers that would hold a quick task more.
        self._free: OrderedDict[str, Worker] = OrderedDict()
        self._spare: OrderedDict[str, Worker] = OrderedDict()
        #: Who was found last.
        self._last: Worker | None = None
        #: Routes that found no worker here, whose method is retry_safe, and is not.
        self.quick: OrderedDict[Route, None] = OrderedDict()
        self.careful: OrderedDict[Route, None] = OrderedDict()
        #: Whose turn it is where both kinds wait for a free slot.
        self._careful_next = False
        self._hosts: dict[str, set[str] | None] = {}
        for offer in offers:
            for method in offer.methods:
                self._add(method, offer.hosts)

    def _add(self, method: Method, hosts: Sequence[str] | None) -> None:
        known = self._hosts.get(method.name, set())
        self._hosts[method.name] = None if hosts is None or known is None else known | {*hosts}
        # Two agents of one worker may serve a method for different hosts. It is safe to
        # run twice if both say so.
        known_method = self.methods.get(method.name, method)
        self.methods[method.name] = method if known_method.retry_safe else known_method

    def serves(self, method: str, hostname: str | None) -> bool:
        """Say whether a request for this method and host can be given to a worker here."""
        if method not in self.methods:
            return False
        hosts = self._hosts[method]
        return hostname is None or hosts is None or hostname in hosts

    def hosts(self, method: str) -> set[str] | None:
        """Return the hosts that ``method`` is served for; None is any."""
        return self._hosts.get(method, set())

    def place(self, worker: Worker) -> None:
        """Note anew what room ``worker`` has."""
        name = worker.instance
        if worker.slots != worker.placed_slots:
            self.slots += worker.slots - worker.placed_slots
            worker.placed_slots = worker.slots
        if worker.free_slots > 0:
            self._free[name] = worker
            self._spare.pop(name, None)
        elif worker.room > 0:
            self._spare[name] = worker
            self._free.pop(name, None)
        else:
            self._free.pop(name, None)
            self._spare.pop(name, None)

    def find(self, method: str, pace: float) -> Worker | None:
        """Return a worker that has room for a task of ``method``, each in turn.

        A turn is a task; of tasks that take ``pace`` seconds, known to be few, it is as many as
        wake no other worker for less than that costs. A method that is not ``retry_safe`` is
        given only against a free slot: what waits in a worker that dies counts as possibly run.
        """
        last = self._last
        if last is not None and last.giving is not None and pace:
            goes_on = len(last.giving) * pace < SPELL and last.room > 0
            if goes_on and self.methods[method].retry_safe:
                return last
        if self._free:
            lane = self._free
        elif self._spare and self.methods[method].retry_safe:
            lane = self._spare
        else:
            return None
        name = next(iter(lane))
        if len(lane) > 1:
            lane.move_to_end(name)
        worker = self._last = lane[name]
        return worker

    def wait(self, route: Route) -> None:
        """Tell ``route`` when a worker here has room."""
        waiting = self.quick if self.methods[route.method].retry_safe else self.careful
        waiting[route] = None

    def forget(self, route: Route) -> None:
        """Do not tell ``route`` any more."""
        self.quick.pop(route, None)
        self.careful.pop(route, None)

    def next_waiting(self) -> Route | None:
        """Return the next route that a worker here has room for, if any; it goes to the end."""
        quick, careful = self.quick, self.careful
        if self._free and careful and (self._careful_next or not quick):
            self._careful_next = False
            return _turn(careful)
        if quick and (self._free or self._spare):
            self._careful_next = True
            return _turn(quick)
        return None

    def remove(self, worker: Worker) -> None:
        """The worker has left."""
        del self.workers[worker.instance]
        self.slots -= worker.placed_slots
        worker.placed_slots = 0
        self._free.pop(worker.instance, None)
        self._spare.pop(worker.instance, None)
        if self._last is worker:
            self._last = None


def _turn(routes: OrderedDict[Route, None]) -> Route:
    """Return the first one, and put it behind all others."""
    route = next(iter(routes))
    if len(routes) > 1:
        routes.move_to_end(route)
    return route


@compiled
class Route:
    """A method and a hostname, the pools that serve them, and the tasks that wait."""

    def __init__(self, method: str, hostname: str | None, now: float) -> None:
        self.method = method
        self.hostname = hostname
        self.queue = FairQueue()
        self.pools: list[Pool] = []
        self.last_used = now
        #: Tasks of this route that are not answered yet.
        self.live = 0
        #: Moving average of what a task takes, in seconds.
        self.pace = 0.0
        self._ready: deque[Pool] = deque()

    def link(self, pool: Pool) -> None:
        """``pool`` serves this route from now on."""
        self.pools.append(pool)
        self._ready.append(pool)

    def unlink(self, pool: Pool) -> None:
        """``pool`` has no worker any more."""
        self.pools.remove(pool)
        pool.forget(self)
        if pool in self._ready:
            self._ready.remove(pool)

    def ready_again(self, pool: Pool) -> None:
        """Nothing waits here any more, and ``pool`` has a worker with room."""
        pool.forget(self)
        self._ready.append(pool)

    def find(self) -> Worker | None:
        """Return a worker that has room for a task of this route, its pools in turn."""
        while self._ready:
            pool = self._ready[0]
            worker = pool.find(self.method, self.pace)
            if worker is not None:
                if len(self._ready) > 1:
                    self._ready.rotate(-1)
                return worker
            self._ready.popleft()
            pool.wait(self)
        return None

    @property
    def retry_safe(self) -> bool:
        """Whether all who serve this route say that running it twice does no harm."""
        return bool(self.pools) and all(p.methods[self.method].retry_safe for p in self.pools)


class Directory:
    """All pools and routes."""

    def __init__(self, route_memory: float) -> None:
        self.routes: dict[tuple[str, str | None], Route] = {}
        self._pools: dict[bytes, Pool] = {}
        self._by_method: dict[str, list[Pool]] = {}
        #: Pools without a worker, and until when they are remembered; the oldest first.
        self._departed: OrderedDict[bytes, tuple[float, Pool]] = OrderedDict()
        self._departed_bytes = 0
        self._route_memory = route_memory
        self._crowded = MANY_ROUTES

    @property
    def pools(self) -> Iterator[Pool]:
        """All pools that have a worker."""
        return iter(self._pools.values())

    def knows(self, method: str) -> bool:
        """Say whether any worker serves ``method``, for whatever host."""
        return method in self._by_method

    def serving(self, method: str, hostname: str | None) -> list[Pool]:
        """Return the pools that serve this."""
        return [p for p in self._by_method.get(method, ()) if p.serves(method, hostname)]

    def lately_served(self, method: str, hostname: str | None, now: float) -> bool:
        """Say whether somebody served this not long ago; they may be restarting."""
        return any(
            now < until and pool.serves(method, hostname) for until, pool in self._departed.values()
        )

    def hosts_of(self, method: str) -> list[str]:
        """Return the hosts that ``method`` is served for, sorted."""
        found: set[str] = set()
        for pool in self._by_method.get(method, ()):
            found |= pool.hosts(method) or set()
        return sorted(found)

    def route(self, method: str, hostname: str | None, now: float) -> Route:
        """Return the route for this, made if it is asked for the first time."""
        route = self.routes.get((method, hostname))
        if route is None:
            if len(self.routes) >= self._crowded:
                self._make_room()
            route = self.routes[(method, hostname)] = Route(method, hostname, now)
            for pool in self.serving(method, hostname):
                route.link(pool)
        route.last_used = now
        return route

    def pool(self, signature: bytes, offers: Sequence[Offer]) -> tuple[Pool, list[Route]]:
        """Return the pool for a worker with these offers, and the routes that are new to it."""
        pool = self._pools.get(signature)
        if pool is not None:
            return pool, []
        pool = self._pools[signature] = Pool(signature, [self._like_known(o) for o in offers])
        if self._departed.pop(signature, None):
            self._departed_bytes -= len(signature)
        for method in pool.methods:
            self._by_method.setdefault(method, []).append(pool)
        served = [r for r in self.routes.values() if pool.serves(r.method, r.hostname)]
        for route in served:
            route.link(pool)
        return pool, served

    def _like_known(self, offer: Offer) -> Offer:
        """Return ``offer`` with the methods of an equal one, if the last such pool has one.

        Workers that serve hundreds of hosts differ in nothing else, and their methods take 4 KB
        each.
        """
        name = offer.methods[0].name if offer.methods else ""
        for pool in self._by_method.get(name, ())[-1:]:
            for known in pool.offers:
                if known.methods == offer.methods:
                    return msgspec.structs.replace(offer, methods=known.methods)
        return offer

    def leave(self, worker: Worker, now: float) -> None:
        """``worker`` is gone; so is its pool, if it was the last one there."""
        pool = worker.pool
        pool.remove(worker)
        if not pool.workers:
            self._close(pool, now)

    def _close(self, pool: Pool, now: float) -> None:
        del self._pools[pool.signature]
        self._departed[pool.signature] = (now + self._route_memory, pool)
        self._departed_bytes += len(pool.signature)
        self._forget_departed(-math.inf)
        for method in pool.methods:
            self._by_method[method].remove(pool)
            if not self._by_method[method]:
                del self._by_method[method]
        for route in self.routes.values():
            if pool in route.pools:
                route.unlink(pool)

    def sweep(self, now: float) -> None:
        """Forget routes that nobody uses and pools that left long ago."""
        self._forget_departed(now)
        self._forget_idle(now - self._route_memory)

    def _forget_departed(self, now: float) -> None:
        """Forget pools that left long ago, and the oldest where there are too many."""
        while self._departed and (
            len(self._departed) > MANY_DEPARTED
            or self._departed_bytes > DEPARTED_BYTES
            or next(iter(self._departed.values()))[0] <= now
        ):
            signature, _ = self._departed.popitem(last=False)
            self._departed_bytes -= len(signature)

    def _make_room(self) -> None:
        """Forget all idle routes: whoever asks for ever new hosts makes one with each."""
        self._forget_idle(math.inf)
        # Those left are in use; not to be looked through again with each new one.
        self._crowded = max(MANY_ROUTES, 2 * len(self.routes))

    def _forget_idle(self, used_before: float) -> None:
        idle = [
            key
            for key, route in self.routes.items()
            if not route.live and route.last_used < used_before
        ]
        for key in idle:
            route = self.routes.pop(key)
            for pool in list(route.pools):
                route.unlink(pool)
