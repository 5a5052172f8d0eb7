"""What the clients ask, and how: the honest, the simple and the sly."""

from __future__ import annotations

from typing import Any

from tests.simulation import catalogue
from tests.simulation.asking import Registry
from tests.simulation.plan import REMEMBER, Plan, Weather
from tests.simulation.sim_client import SimClient
from tests.simulation.world import World

#: Requests that may be asked again.
KEPT = 12


class Load:
    """Has the clients ask, until the calm."""

    def __init__(
        self, world: World, plan: Plan, clients: list[SimClient], registry: Registry
    ) -> None:
        self._world = world
        self._plan = plan
        self._clients = clients
        self._registry = registry
        self._number = 0
        #: Ids that were used lately, with what was asked under them.
        self._used: list[tuple[SimClient, dict[str, Any]]] = []
        self._next()

    def _next(self) -> None:
        self._world.after(self._world.dice.expovariate(1 / self._plan.between_requests), self._ask)

    def _ask(self) -> None:
        if self._world.calm:
            return
        present = [client for client in self._clients if client.present]
        if present:
            client = self._world.dice.choice(present)
            ways = [self._by_policy, self._plainly, self._by_id, self._again, self._burst]
            again = 10 if self._plan.weather is Weather.TORN else 5
            self._world.dice.choices(ways, [6, 1, 2, again, 0.7])[0](client)
        self._next()

    # Ways to ask -----------------------------------------------------------------------

    def _by_policy(self, client: SimClient) -> None:
        """Ask as the real client does, under an id of its own making or the caller's."""
        fields = self._fields()
        if self._world.dice.random() < 0.7:
            fields["meta"] = {**self._meta(), "id": self._new_id(), "age_ms": 0}
            self._keep(client, fields)
        self._send(client, fields)

    def _plainly(self, client: SimClient) -> None:
        """Ask without any ``meta``."""
        client.ask_once(self._broker(), self._fields())

    def _by_id(self, client: SimClient) -> None:
        """Ask by hand, under an id of unknown age."""
        fields = self._fields()
        fields["meta"] = {**self._meta(), "id": self._new_id()}
        if self._world.dice.random() < 0.5:
            fields["meta"]["age_ms"] = 0
        self._keep(client, fields)
        client.ask_once(self._broker(), fields)

    def _again(self, client: SimClient) -> None:
        """Ask under an id that was used before: the same, or something else."""
        if not self._used:
            return
        dice = self._world.dice
        owner, fields = dice.choice(self._doubtful() if dice.random() < 0.4 else self._used)
        if owner.principal != client.principal and dice.random() < 0.5:
            client = owner
        if not client.present:
            return
        fields = {**fields, "meta": {**self._meta(), "id": fields["meta"]["id"]}}
        if dice.random() < 0.1:
            fields["n"] = self._new_number()
        sends = self._registry.sends((client.principal, fields["meta"]["id"]))
        broker = sends[-1].broker if sends and dice.random() < 0.5 else self._broker()
        if dice.random() < 0.9:
            self._tell_the_truth(client, fields["meta"], broker)
        if dice.random() < 0.5:
            self._send(client, fields, broker)
        else:
            client.ask_once(broker, fields)

    def _doubtful(self) -> list[tuple[SimClient, dict[str, Any]]]:
        """Return the used ids of which nobody can be sure; all, where there is none."""
        return [used for used in self._used if self._is_doubtful(*used)] or self._used

    def _is_doubtful(self, client: SimClient, fields: dict[str, Any]) -> bool:
        sends = self._registry.sends((client.principal, fields["meta"]["id"]))
        return any(asked.code in (None, "worker_lost") for asked in sends)

    def _burst(self, client: SimClient) -> None:
        """Ask for the same many times at once, several clients among each other."""
        dice = self._world.dice
        method = dice.choice(["fetch", "pay", "scan", "look", "tap"])
        others = [other for other in self._clients if other.present]
        broker = self._broker()
        for _ in range(dice.randint(6, 24)):
            asking = client if dice.random() < 0.5 else dice.choice(others)
            fields = {"method": method, "n": self._new_number()}
            fields["meta"] = {"deadline_ms": round(self._world.spread(20, 4000))}
            if dice.random() < 0.2:
                fields["meta"]["priority"] = 6
            asking.ask_once(broker, fields)

    # Requests --------------------------------------------------------------------------

    def _fields(self) -> dict[str, Any]:
        dice = self._world.dice
        fields: dict[str, Any] = {
            "method": self._method(),
            "n": self._new_number(),
            "text": "x" * dice.choice([0, 0, 50, 1500]),
        }
        if fields["method"].startswith("host."):
            fields["hostname"] = dice.choice(catalogue.HOSTS)
        if dice.random() < 0.02:
            fields["method"] = "nobody.knows"
        return fields

    def _method(self) -> str:
        names = list(catalogue.METHODS)
        if self._plan.weather is Weather.TORN and self._world.dice.random() < 0.8:
            names = ["sweep", "scan", "move", "pay"]
        return self._world.dice.choice(names)

    def _meta(self) -> dict[str, Any]:
        dice = self._world.dice
        meta: dict[str, Any] = {}
        if dice.random() < 0.3:
            meta["deadline_ms"] = round(self._world.spread(20, 4000))
        if dice.random() < 0.2:
            meta["priority"] = dice.randint(0, 9)
        return meta

    def _new_number(self) -> int:
        self._number += 1
        return self._number

    def _new_id(self) -> str:
        return f"id{self._new_number()}"

    def _broker(self) -> int:
        return self._world.dice.randrange(self._plan.brokers)

    def _send(self, client: SimClient, fields: dict[str, Any], first: int | None = None) -> None:
        client.ask(fields, self._plan.policy, self._broker() if first is None else first)

    def _keep(self, client: SimClient, fields: dict[str, Any]) -> None:
        if len(self._used) >= KEPT:
            self._used.pop(self._world.dice.randrange(KEPT))
        self._used.append((client, fields))

    def _tell_the_truth(self, client: SimClient, meta: dict[str, Any], broker: int) -> None:
        """Say how old the id is, and whether it has moved."""
        sends = [a for a in self._registry.sends((client.principal, meta["id"])) if not a.refused]
        if not sends:
            meta["age_ms"] = 0
            return
        if any(asked.broker != broker for asked in sends):
            meta["moved"] = True
        age = self._world.now - sends[0].sent_at
        if age > REMEMBER or self._world.dice.random() < 0.6:
            meta["age_ms"] = round(age * 1000) + 1
