"""Simulated clients: one that follows the real client's policy, and a simple one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.simulation.asking import Asked, Registry
from tests.simulation.network import Wire
from tests.simulation.sim_broker import BrokerLife, BrokerPlace
from tests.simulation.world import World
from vpoller_like.broker.events import Reply
from vpoller_like.client.policy import Done, Exchange, Policy, Try, Wait
from vpoller_like.protocol.encoding import Encoding, decode_object, encode

#: Gets the reply's body; None says that the connection broke.
Hear = Callable[[bytes | None], None]


class Line:
    """A client's connection to one life of a broker."""

    def __init__(self, world: World, name: bytes, principal: str, life: BrokerLife) -> None:
        self.name = name
        self.life = life
        self.open = True
        self._waiting: dict[bytes, Hear] = {}
        typical = world.spread(0.0002, 0.01)
        self._up = Wire(world, typical, lambda frames: life.request(frames, principal))
        self._down = Wire(world, typical, self._heard)
        life.clients[name] = self._down.send

    def send(self, token: bytes, body: bytes, hear: Hear) -> None:
        """Send a request; ``hear`` gets what comes back."""
        self._waiting[token] = hear
        self._up.send([self.name, token, b"", body])

    def forget(self, token: bytes) -> None:
        """Nobody waits for this reply any more."""
        self._waiting.pop(token, None)

    def _heard(self, reply: Reply | None) -> None:
        if reply is None:
            self.open = False
            waiting, self._waiting = self._waiting, {}
            for hear in waiting.values():
                hear(None)
            return
        hear_one = self._waiting.pop(reply.envelope[1], None)
        if hear_one is not None:
            hear_one(reply.body)

    def break_off(self) -> None:
        """The connection is gone; what was under way is lost, and this end does not hear."""
        self.open = False
        self._up.cut()
        self._down.cut()
        self.life.clients.pop(self.name, None)


class SimClient:
    """One program that asks. ``index`` is its place among the clients."""

    def __init__(
        self,
        world: World,
        index: int,
        principal: str,
        brokers: list[BrokerPlace],
        registry: Registry,
    ) -> None:
        self.principal = principal
        self.brokers = brokers
        self.name = f"c{index}"
        self.present = True
        #: Requests under the policy that have no outcome yet.
        self.waiting = 0
        self._world = world
        self._registry = registry
        self._lines: dict[int, Line] = {}
        self._number = 0

    def line(self, broker: int) -> Line | None:
        """Return the connection to a broker, made anew if need be; None if it is down."""
        line = self._lines.get(broker)
        life = self.brokers[broker].life
        if life is None:
            return None
        if line is None or not line.open or line.life is not life:
            name = f"{self.name}-{self._next()}".encode()
            line = self._lines[broker] = Line(self._world, name, self.principal, life)
        return line

    def _next(self) -> int:
        self._number += 1
        return self._number

    def break_off(self) -> None:
        """All its connections break."""
        for line in self._lines.values():
            line.break_off()

    def leave(self) -> None:
        """End; nobody here waits for anything any more."""
        self._world.note(self.name, "leaves")
        self.present = False
        self.break_off()

    # Asking ----------------------------------------------------------------------------

    def ask_once(self, broker: int, fields: dict[str, Any]) -> None:
        """Send a request as any REQ socket would, and take whatever comes, or nothing."""
        line = self.line(broker)
        if line is not None:
            self.send(line, broker, encode(fields, Encoding.JSON), lambda _: None)

    def ask(self, fields: dict[str, Any], policy: Policy, first: int) -> None:
        """Send a request as the real client would, until it is answered or given up."""
        self.waiting += 1
        Caller(
            self._world,
            self,
            Exchange(
                policy,
                fields,
                self._world.now,
                first=first,
                jitter=self._world.dice.random,
                new_id=lambda: f"{self.name}-own-{self._next()}",
            ),
        )

    def send(self, line: Line, broker: int, body: bytes, hear: Hear) -> bytes:
        """Put a request on its way; return its token."""
        token = b"%d" % self._next()
        asked = Asked(
            decode_object(body),
            body,
            principal=self.principal,
            client=line.name,
            broker=broker,
            envelope=(line.name, token, b""),
            now=self._world.now,
        )
        self._registry.sent(asked)
        self._world.note(self.name, f"asks {broker}", body)
        line.send(token, body, hear)
        return token


class Caller:
    """Drives one exchange of the real client's policy."""

    def __init__(self, world: World, client: SimClient, exchange: Exchange) -> None:
        self._world = world
        self._client = client
        self._exchange = exchange
        #: Counts the tries; what belongs to an earlier one comes too late.
        self._try = 0
        self._sent: tuple[Line, bytes] | None = None
        self._step()

    def _step(self) -> None:
        if not self._client.present:
            return
        self._try += 1
        action = self._exchange.next_action(self._world.now)
        match action:
            case Done(envelope):
                self._done(envelope)
            case Wait(until):
                self._world.at(until, self._step)
            case Try():
                self._world.after(0.0005, self._connect, action, self._try)

    def _done(self, envelope: dict[str, Any]) -> None:
        self._client.waiting -= 1
        error = envelope.get("error") or {}
        self._world.note(self._client.name, "done", error.get("code", "ok"))
        self._world.seen[f"told {error.get('code', 'ok')}"] += 1

    def _connect(self, action: Try, number: int) -> None:
        if number != self._try or not self._client.present:
            return
        line = self._client.line(action.endpoint)
        if line is None:
            self._world.at(action.connect_until, self._unconnected, number)
            return
        now = self._world.now
        body = self._exchange.body(now)
        token = self._client.send(line, action.endpoint, body, lambda b: self._hear(b, number))
        self._sent = (line, token)
        self._exchange.on_sent(now)
        self._world.at(action.until, self._silence, number)

    def _unconnected(self, number: int) -> None:
        if number == self._try:
            self._exchange.on_unconnected()
            self._step()

    def _hear(self, body: bytes | None, number: int) -> None:
        if number != self._try or not self._client.present:
            return
        if body is None:
            self._exchange.on_loss(self._world.now)
            self._step()
        elif self._exchange.on_reply(body, self._world.now):
            self._step()

    def _silence(self, number: int) -> None:
        if number != self._try or not self._client.present:
            return
        if self._sent is not None:
            line, token = self._sent
            line.forget(token)
        self._exchange.on_silence()
        self._step()
