"""One seed from its beginning to its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from tests.simulation import catalogue, plan
from tests.simulation.asking import Registry
from tests.simulation.invariant import Violation
from tests.simulation.load import Load
from tests.simulation.oracle import Oracle
from tests.simulation.sim_broker import BrokerPlace
from tests.simulation.sim_client import SimClient
from tests.simulation.sim_faults import Faults
from tests.simulation.sim_worker import WorkerPlace
from tests.simulation.world import BEGINNING, Journal, World

#: Seconds within which everything that was asked must be answered once nothing fails.
PATIENCE = 40.0
#: Seconds after which nothing is remembered any more, and unused routes are forgotten.
REST = plan.REMEMBER + plan.ROUTE_MEMORY + 6.0


class Outcome(NamedTuple):
    """What became of one seed."""

    seed: int
    #: Equal for two runs that went the same way.
    digest: str
    seen: Counter[str]
    #: The invariant that was violated, and how.
    violated: str | None = None
    message: str = ""
    #: Simulated seconds.
    lasted: float = 0.0


class Scenario:
    """A whole world. ``show`` gets the journal's lines."""

    def __init__(self, seed: int, show: Callable[[str], None] | None = None) -> None:
        world = self.world = World(seed, Journal(show))
        self.plan = plan.draw(world)
        world.note("plan", str(self.plan))
        registry = Registry(world, plan.REMEMBER)
        self.oracle = Oracle(world, registry)
        self.brokers = self._brokers()
        self.workers = self._workers()
        self.clients = self._clients(registry)
        self.load = Load(world, self.plan, self.clients, registry)
        self.faults = Faults(world, self.brokers, self.workers, self.clients, self.plan)

    def _brokers(self) -> list[BrokerPlace]:
        brokers = self.oracle.brokers
        for index in range(self.plan.brokers):
            place = BrokerPlace(self.world, f"b{index}", self.plan.broker, self.oracle)
            brokers.append(place)
            self.world.after(self.world.dice.random() * 0.5, place.start)
        return brokers

    def _workers(self) -> list[WorkerPlace]:
        workers = self.oracle.workers
        for index in range(self.plan.workers):
            hosts = self.world.dice.choice([None, ["h1"], ["h2"], ["h1", "h2"]])
            workers.append(
                WorkerPlace(
                    self.world,
                    f"w{index}",
                    self.plan.worker,
                    catalogue.offers(hosts),
                    self.brokers,
                    self.oracle.executions,
                )
            )
        return workers

    def _clients(self, registry: Registry) -> list[SimClient]:
        count = self.plan.principals
        names = [f"p{index % count}" if count else "" for index in range(self.plan.clients)]
        return [
            SimClient(self.world, index, name, self.brokers, registry)
            for index, name in enumerate(names)
        ]

    # The course of things --------------------------------------------------------------

    def run(self) -> None:
        """Let it all happen; raises :class:`Violation` where a promise is broken."""
        world = self.world
        world.run_until(BEGINNING + self.plan.unrest)
        world.note("calm", "begins")
        self.faults.end()
        until = world.now + PATIENCE
        while world.now < until and not self._is_quiet():
            world.run_until(world.now + 0.5)
        world.resting = True
        world.run_until(world.now + REST)
        self.oracle.at_rest()

    def _is_quiet(self) -> bool:
        callers = sum(client.waiting for client in self.clients if client.present)
        lives = [broker.life for broker in self.brokers]
        unanswered = sum(len(self.oracle.pending(life)) for life in lives if life is not None)
        return not callers and not unanswered and None not in lives


def play(seed: int, show: Callable[[str], None] | None = None) -> Outcome:
    """Run one seed; a violation is in the outcome, any other error is raised."""
    scenario = Scenario(seed, show)
    violated, message = None, ""
    try:
        scenario.run()
    except Violation as violation:
        violated, message = violation.invariant, str(violation)
    world = scenario.world
    return Outcome(seed, world.journal.digest, world.seen, violated, message, world.now - BEGINNING)
