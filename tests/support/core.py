"""A broker's core without sockets: a stage with clients, scripted workers and a clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from copy import copy
from typing import Any

import msgspec

from vpoller_like.broker import BrokerCore
from vpoller_like.broker import events as ev
from vpoller_like.broker.state import State
from vpoller_like.config import BrokerSettings
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import Encoding, decode_object, encode
from vpoller_like.protocol.reply import success
from vpoller_like.protocol.request import fingerprint, parse_head

TICK = 0.05

Method = wire.Method


def offer(
    *methods: str | Method, hosts: Sequence[str] | None = None, agent: str = "test"
) -> wire.Offer:
    """What an agent serves; a method given by name alone is not ``retry_safe``."""
    served = [Method(name=m) if isinstance(m, str) else m for m in methods]
    return wire.Offer(agent=agent, methods=served, hosts=None if hosts is None else list(hosts))


def safe(name: str) -> Method:
    return Method(name=name, retry_safe=True)


def request_body(
    method: str = "m",
    hostname: str | None = None,
    meta: dict[str, Any] | None = None,
    encoding: Encoding = Encoding.JSON,
    **parameters: Any,
) -> bytes:
    fields: dict[str, Any] = {"method": method, **parameters}
    if hostname is not None:
        fields["hostname"] = hostname
    if meta is not None:
        fields["meta"] = meta
    return encode(fields, encoding)


class Stage:
    """One core; what it wants done is kept here, by receiver."""

    def __init__(self, *, grace: bool = False, start: float = 0.0, epoch: int = 1, **settings: Any):
        settings.setdefault("grace_ms", 2000 if grace else 1)
        self.now = start
        self.settings = BrokerSettings(**settings)
        self.tokens = 0
        self.core = BrokerCore(self.settings, now=start, epoch=epoch, new_token=self._new_token)
        self.replies: list[ev.Reply] = []
        self.given: list[ev.Give] = []
        self.told: list[ev.Tell] = []
        self.asked_plain: list[ev.AskPlain] = []
        self._peers = 0
        if not grace:
            self.pass_time(TICK)

    def _new_token(self) -> bytes:
        self.tokens += 1
        return b"token%d" % self.tokens

    def new_peer(self) -> bytes:
        self._peers += 1
        return b"peer%d" % self._peers

    # Feeding ---------------------------------------------------------------------------

    def feed(self, event: ev.Event) -> list[ev.Action]:
        actions = self.core.handle(event, self.now)
        for action in actions:
            kept: Any = {
                ev.Reply: self.replies,
                ev.Give: self.given,
                ev.Tell: self.told,
                ev.AskPlain: self.asked_plain,
            }[type(action)]
            kept.append(action)
        return actions

    def tick(self) -> list[ev.Action]:
        return self.feed(ev.Tick())

    def pass_time(self, seconds: float, alive: Iterable[Player] = (), step: float = TICK) -> None:
        """Let time pass, tick by tick; the workers in ``alive`` keep their heartbeat."""
        end = self.now + seconds
        beat = self.now
        while self.now < end - 1e-9:
            self.now = min(end, self.now + step)
            if self.now >= beat:
                beat = self.now + 1.0
                for player in alive:
                    player.heartbeat()
            self.tick()

    def ask(
        self,
        method: str = "m",
        hostname: str | None = None,
        *,
        client: bytes = b"c",
        meta: dict[str, Any] | None = None,
        encoding: Encoding = Encoding.JSON,
        **parameters: Any,
    ) -> None:
        self.ask_raw(request_body(method, hostname, meta, encoding, **parameters), client)

    def ask_raw(self, body: bytes, client: bytes = b"c") -> None:
        self.feed(ev.Request((client, b""), body, parse_head(body)))

    # Looking ---------------------------------------------------------------------------

    @property
    def last_number(self) -> int:
        """The number of the last task."""
        return next(copy(self.core._numbers)) - 1

    def answers(self, client: bytes = b"c") -> list[dict[str, Any]]:
        """All replies to ``client`` so far."""
        return [decode_object(r.body) for r in self.replies if r.envelope[0] == client]

    def answer(self, client: bytes = b"c") -> dict[str, Any]:
        """The one reply to ``client``; the next call is about the next one."""
        found = self.answers(client)
        assert len(found) == 1, f"{client!r} got {len(found)} replies: {found}"
        self.replies = [r for r in self.replies if r.envelope[0] != client]
        return found[0]

    def error(self, client: bytes = b"c") -> dict[str, Any]:
        """The error in the one reply to ``client``, its message under ``msg``."""
        reply = self.answer(client)
        assert reply["success"] == 1, reply
        return {**reply["error"], "msg": reply["msg"]}

    def said(self, kind: type[Any], peer: bytes | None = None) -> list[Any]:
        """Messages of ``kind`` to workers so far."""
        return [t.message for t in self.told if type(t.message) is kind and peer in (None, t.peer)]

    @property
    def counters(self) -> dict[str, int]:
        return self.core.counters.as_dict()

    def live(self, state: State) -> int:
        return sum(task.state is state for task in self.core.dispatcher.live.values())

    def leftovers(self) -> dict[str, Any]:
        """Whatever the core still holds, by where; empty when it is at rest."""
        core, directory = self.core, self.core.directory
        dispatcher_quota = core.dispatcher.quota
        held = {
            "live": core.dispatcher.live,
            "by_key": core.dispatcher.by_key,
            "queued": core.dispatcher.queued,
            "queued_bytes": core.dispatcher.queued_bytes,
            "due": list(core.dispatcher.timetable),
            "due_buckets": core.dispatcher.timetable._buckets,
            "due_order": core.dispatcher.timetable._order,
            "seeks": core.seekers._open,
            "looks": list(core.seekers._looks),
            "joiners": core.seekers._joiners,
            "look_buckets": core.seekers._looks._buckets,
            "look_order": core.seekers._looks._order,
            "plain_asked": core.plain._asked,
            "plain_tokens": core.plain._tokens,
            "remembered": len(core.memory),
            "remembered_bytes": core.memory.bytes,
            "routes": directory.routes,
            "departed": directory._departed,
            "owed_acks": core.roster._acks,
            "held": [w.tasks for w in core.roster.workers.values() if w.tasks],
            "waiting": [p for p in directory.pools if p.quick or p.careful],
            "out": core._out,
            "quota": dispatcher_quota,
            "questions": core.seekers.questions,
        }
        if not core.roster.workers:
            held["peers"] = core.roster._by_peer
            held["pools"] = directory._pools
            held["methods"] = directory._by_method
        return {name: value for name, value in held.items() if value}

    def check(self) -> None:
        """Raise where the core's own books do not agree."""
        dispatcher = self.core.dispatcher
        tasks = list(dispatcher.live.values())
        assert all(number == task.number for number, task in dispatcher.live.items())
        queued = [task for task in tasks if task.state is State.QUEUED]
        in_queues = [t for r in self.core.directory.routes.values() for t in r.queue]
        in_queues += list(self.core.admission._plain_route.queue)
        assert sorted(t.number for t in in_queues) == sorted(t.number for t in queued)
        assert dispatcher.queued == len(queued)
        assert dispatcher.queued == sum(len(r.queue) for r in self.core.directory.routes.values())
        assert dispatcher.queued_bytes == sum(len(t.body or b"") for t in queued)
        sought = [task for task in tasks if task.state is State.SEEKING]
        assert len(sought) == len(self.core.seekers._open)
        quota = dispatcher.quota
        assert quota._requests == Counter(w.share for t in tasks for w in t.waiters)
        assert quota.bytes == sum(1024 + len(t.body or b"") for t in (*queued, *sought))
        assert quota.bytes == sum(quota._bytes.values())
        asked = sum(len(seek.pending) for seek in self.core.seekers._open.values())
        assert self.core.seekers.questions == asked
        self._check_holders(tasks)
        due = {t.number for t in tasks if t.state is not State.RUNNING}
        assert {t.number for t in dispatcher.timetable} == due
        assert {seek.number for seek in self.core.seekers._looks} == {t.number for t in sought}
        assert {t.key: t for t in tasks if t.key is not None} == dispatcher.by_key
        live = Counter(id(task.route) for task in tasks)
        for route in self.core.directory.routes.values():
            assert route.live == live[id(route)]
        memory = self.core.memory
        kept = [entry for key in memory if (entry := memory.get(key))]
        assert len(kept) == len(memory)
        assert memory.bytes == sum(len(entry.body) + 512 for entry in kept)

    def _check_holders(self, tasks: list[Any]) -> None:
        held = [t for w in self.core.roster.workers.values() for t in w.tasks.values()]
        running = [t for t in tasks if t.state is State.RUNNING]
        assert sorted(t.number for t in held) == sorted(t.number for t in running)
        for worker in self.core.roster.workers.values():
            assert all(t.worker is worker and n == t.number for n, t in worker.tasks.items())
            pool = worker.pool
            assert pool.slots == sum(w.slots for w in pool.workers.values())
            free = worker.instance in pool._free
            spare = worker.instance in pool._spare
            assert free == (worker.free_slots > 0)
            assert spare == (worker.free_slots <= 0 and worker.room > 0)


class Player:
    """A scripted worker. ``inbox`` is what it was given and has not answered."""

    def __init__(
        self,
        stage: Stage,
        *offers: wire.Offer,
        name: str = "w",
        slots: int = 1,
        ahead: int = 0,
        hello: bool = True,
        key: str = "",
    ) -> None:
        self.stage = stage
        self.key = key
        self.name = name
        self.peer = stage.new_peer()
        self.offers = list(offers) or [offer("m")]
        self.slots, self.ahead = slots, ahead
        self.session = 0
        self.seq = 0
        self._seen = len(stage.given)
        self._inbox: list[wire.Assignment] = []
        if hello:
            self.hello()

    @property
    def instance(self) -> str:
        return f"instance-{self.name}"

    @property
    def inbox(self) -> list[wire.Assignment]:
        """Tasks of the current session that came in and are not answered."""
        for give in self.stage.given[self._seen :]:
            if give.peer == self.peer and give.session == self.session:
                self._inbox.extend(give.items)
        self._seen = len(self.stage.given)
        return self._inbox

    def says(self, message: wire.FromWorker) -> list[ev.Action]:
        return self.stage.feed(ev.WorkerSays(self.peer, message, self.key))

    def hello(
        self,
        *held: wire.Held,
        version: int = wire.VERSION,
        new_peer: bool = False,
    ) -> list[ev.Action]:
        if new_peer:
            self.peer = self.stage.new_peer()
        self.session += 1
        self.seq = 0
        kept = {(item.task, item.attempt) for item in held}
        self._inbox = [a for a in self.inbox if (a.task, a.attempt) in kept]
        return self.says(
            wire.Hello(
                version=version,
                label=self.name,
                instance=self.instance,
                session=self.session,
                pid=1,
                slots=self.slots,
                ahead=self.ahead,
                offers=self.offers,
                held=list(held),
            )
        )

    def heartbeat(self, slots: int | None = None, ahead: int | None = None) -> None:
        self._grant(slots, ahead)
        self.says(wire.Heartbeat(self.slots, self.ahead))

    def _grant(self, slots: int | None, ahead: int | None) -> None:
        self.slots = self.slots if slots is None else slots
        self.ahead = self.ahead if ahead is None else ahead

    def take(self) -> wire.Assignment:
        """The oldest task in the inbox."""
        assert self.inbox, f"{self.name} was given nothing"
        return self.inbox.pop(0)

    def done(
        self,
        *assignments: wire.Assignment,
        result: Any = "done",
        code: str = "",
        body: bytes | None = None,
        ran_us: int = 1000,
    ) -> None:
        """Answer these, or else the oldest in the inbox."""
        if not assignments:
            assignments = (self.take(),)
        for assignment in assignments:
            if assignment in self._inbox:
                self._inbox.remove(assignment)
        self.seq += 1
        items = [
            wire.Result(a.task, a.attempt, code, ran_us, self._reply(a, result, body))
            for a in assignments
        ]
        self.says(wire.Results(self.seq, self.slots, self.ahead, items))

    def _reply(self, assignment: wire.Assignment, result: Any, body: bytes | None) -> bytes:
        if body is not None:
            return body
        msgpacked = assignment.body[:1] != b"{"
        return success(result, "ok", Encoding.MSGPACK if msgpacked else Encoding.JSON)

    def give_back(
        self,
        *assignments: wire.Assignment,
        slots: int | None = None,
        ahead: int | None = None,
    ) -> None:
        for assignment in assignments:
            if assignment in self.inbox:
                self._inbox.remove(assignment)
        self._grant(slots, ahead)
        items = [wire.Attempt(a.task, a.attempt) for a in assignments]
        self.says(wire.Return(self.slots, self.ahead, items))

    def have(
        self,
        query: wire.WhoHas,
        state: wire.Possession = wire.Possession.NONE,
        held: wire.Held | None = None,
        result: Any = None,
    ) -> None:
        self.says(wire.Have(query.query, state, held, result))

    def asked(self) -> wire.WhoHas:
        """The one WHOHAS that it was sent."""
        (query,) = self.stage.said(wire.WhoHas, self.peer)
        assert isinstance(query, wire.WhoHas)
        return query

    def drain(self) -> None:
        self.says(wire.Drain())

    def bye(self) -> None:
        self.says(wire.Bye())

    def dies(self) -> None:
        self.stage.feed(ev.PeerGone(self.peer))

    @property
    def record(self) -> Any:
        """What the core knows of it."""
        return self.stage.core.roster.workers[self.instance]


def holding(
    assignment: wire.Assignment, *, attempt: int | None = None, task: int | None = None
) -> wire.Held:
    """What a worker says of a task that it runs."""
    return wire.Held(
        assignment.task if task is None else task,
        assignment.attempt if attempt is None else attempt,
        assignment.method,
        assignment.hostname,
        assignment.principal,
        assignment.id,
        assignment.fingerprint,
    )


def held_run(
    id: str,
    body: bytes,
    *,
    task: int = 77 << 40,
    attempt: int = 1,
    method: str = "m",
    principal: str = "",
) -> wire.Held:
    """A run of ``body`` that a broker before this one began, or another broker."""
    return wire.Held(task, attempt, method, None, principal, id, fingerprint(body))


def finished(held: wire.Held, result: Any = "done", code: str = "") -> wire.Result:
    """The result that a worker remembers of ``held``."""
    return wire.Result(held.task, held.attempt, code, 1000, success(result, "ok"))


def to_json(value: Any) -> bytes:
    return msgspec.json.encode(value)
