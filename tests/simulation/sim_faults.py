"""All that goes wrong, until the calm."""

from __future__ import annotations

from collections.abc import Callable

from tests.simulation.network import Path
from tests.simulation.plan import Plan, Weather
from tests.simulation.sim_broker import BrokerPlace
from tests.simulation.sim_client import SimClient
from tests.simulation.sim_worker import WorkerPlace, WorkerProcess
from tests.simulation.world import World


class Faults:
    """Strikes now and then, ``between`` seconds apart on average."""

    def __init__(
        self,
        world: World,
        brokers: list[BrokerPlace],
        workers: list[WorkerPlace],
        clients: list[SimClient],
        plan: Plan,
    ) -> None:
        self._world = world
        self._brokers = brokers
        self._workers = workers
        self._clients = clients
        self._plan = plan
        self._kinds: list[tuple[str, float, Callable[[], None]]] = [
            ("worker crashes", 3, self._crash_worker),
            ("hangs", 3, self._hang),
            ("partitions", 5, self._part),
            ("resets", 5, self._reset),
            ("broker crashes", 2, self._crash_broker),
            ("broker drains", 0.4, self._drain_broker),
            ("worker drains", 1, self._drain_worker),
            ("client breaks", 1, self._break_client),
            ("clients gone", 0.4, self._leave),
        ]
        if plan.weather is Weather.TORN:
            self._kinds = [kind for kind in self._kinds if kind[1] >= 5]
        self._next()

    def _next(self) -> None:
        self._world.after(self._world.dice.expovariate(1 / self._plan.between_faults), self._strike)

    def _strike(self) -> None:
        if self._world.calm:
            return
        names, weights, strikes = zip(*self._kinds, strict=True)
        index = self._world.dice.choices(range(len(names)), weights)[0]
        self._world.seen[names[index]] += 1
        self._world.note("fault", names[index])
        strikes[index]()
        self._next()

    # Machines --------------------------------------------------------------------------

    def _victim(self) -> WorkerPlace:
        """Choose a worker; mostly one that has something to lose."""
        busy = [place for place in self._workers if place.is_busy]
        dice = self._world.dice
        return dice.choice(busy if busy and dice.random() < 0.7 else self._workers)

    def _while(self) -> float:
        """Return how long something lasts: shorter than brokers wait for it, or longer."""
        shortest, longest = self._world.dice.choice([(0.05, 1.0), (1.0, 5.0)])
        return self._world.spread(shortest, longest)

    def _crash_worker(self) -> None:
        self._victim().crash(told=self._world.dice.random() < 0.7)

    def _hang(self) -> None:
        """Stop a process; longer than its brokers wait for it, at times."""
        process = self._victim().process
        if process is not None and not process.stopped:
            process.stop()
            self._world.after(self._while(), self._resume, process)

    def _resume(self, process: WorkerProcess) -> None:
        if process.alive and process.stopped:
            self._world.note(process.name, "resumes")
            self._world.seen["zombies"] += self._is_given_up(process)
            process.resume()

    def _is_given_up(self, process: WorkerProcess) -> bool:
        lives = [broker.life for broker in self._brokers if broker.life is not None]
        return any(process.instance not in life.core.roster.workers for life in lives)

    def _drain_worker(self) -> None:
        process = self._world.dice.choice(self._workers).process
        if process is not None:
            process.drain()
            if self._world.dice.random() < 0.2:
                self._world.after(0.5 * self._world.dice.random(), process.drain)

    def _crash_broker(self) -> None:
        self._world.dice.choice(self._brokers).crash()

    def _drain_broker(self) -> None:
        self._world.dice.choice(self._brokers).restart_gently(self._world.spread(0.1, 2.0))

    # The network -----------------------------------------------------------------------

    def _path(self) -> tuple[BrokerPlace, Path]:
        index = self._world.dice.randrange(len(self._brokers))
        return self._brokers[index], self._victim().paths[index]

    def _part(self) -> None:
        """Let nothing pass one path, in one direction or both, for a while."""
        _, path = self._path()
        if path.is_open:
            ways = [(True, True), (True, False), (False, True), (False, True)]
            up, down = self._world.dice.choice(ways)
            path.part(up, down)
            self._world.after(self._while(), path.heal)

    def _reset(self) -> None:
        """Break one connection. Each end learns of it by itself."""
        broker, path = self._path()
        if not path.connections:
            return
        connection = self._world.dice.choice(path.connections)
        connection.cut()
        path.trouble()
        if broker.life is not None:
            self._world.after(self._world.spread(0.001, 3.0), broker.life.closed, connection)
        self._world.after(self._world.spread(0.001, 1.0), self._noticed, connection.peer)

    def _noticed(self, peer: bytes) -> None:
        for place in self._workers:
            for process in place.living:
                for dealer in process.dealers:
                    connection = dealer.connection
                    if connection is not None and connection.peer == peer:
                        dealer.lost()

    # Clients ---------------------------------------------------------------------------

    def _break_client(self) -> None:
        self._world.dice.choice(self._clients).break_off()

    def _leave(self) -> None:
        client = self._world.dice.choice(self._clients)
        if client.present:
            client.leave()

    # The calm --------------------------------------------------------------------------

    def end(self) -> None:
        """Mend everything; nothing fails from now on."""
        self._world.calm = True
        for broker in self._brokers:
            broker.start()
        for place in self._workers:
            for path in place.paths:
                path.heal()
            for process in place.living:
                self._resume(process)
