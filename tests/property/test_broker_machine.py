"""The core under any sequence of events: its books agree, and everybody is answered once."""

from __future__ import annotations

import msgspec
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from tests.support.core import Player, Stage, finished, held_run, holding, offer, request_body, safe
from vpoller_like.broker import events as ev
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import decode_object
from vpoller_like.protocol.request import parse_head

OFFERS = {
    "any": [offer(safe("safe"), "once")],
    "hosts": [offer(safe("safe"), "once", hosts=["h1"])],
    "mixed": [offer(safe("safe"), hosts=["h2"]), offer("once", "other", agent="2")],
}
NAMES = ["w0", "w1", "w2"]
METHODS = ["safe", "safe", "once", "once", "other", "plain"]

names = st.sampled_from(NAMES)
grants = st.integers(0, 3)


class WatchedStage(Stage):
    """Looks at each action as it comes out."""

    def feed(self, event: ev.Event) -> list[ev.Action]:
        actions = super().feed(event)
        for action in actions:
            if isinstance(action, ev.Give):
                for item in action.items:
                    self._watch(item)
        return actions

    def _watch(self, item: wire.Assignment) -> None:
        task = self.core.dispatcher.live.get(item.task)
        assert task is not None, "what is not live was given"
        assert task.deadline >= self.now, "given past its deadline"
        assert item.body == task.body, "given with another body"
        if task.worker is None or task.attempt != item.attempt:
            return  # Given, and taken back in the same breath.
        worker = self.core.roster.workers[task.worker.instance]
        assert len(worker.tasks) <= worker.slots + worker.ahead, "given more than there is room for"
        flags = worker.pool.methods[item.method]
        assert flags.retry_safe or worker.slots > 0, "given ahead though it may not run twice"


class BrokerMachine(RuleBasedStateMachine):
    """Clients, workers and plain workers do whatever comes to their minds."""

    def __init__(self) -> None:
        super().__init__()
        self.stage = WatchedStage(
            grace=True,
            queue_length=6,
            queue_bytes=16_384,
            remember_bytes=4096,
            remember_ms=5000,
            route_memory_ms=4000,
            default_deadline_ms=4000,
            plain_timeout_ms=3000,
        )
        self.asked: list[bytes] = []
        self.players: dict[str, Player] = {}
        self.alive: set[str] = set()
        self.seen: list[wire.Assignment] = []
        self.foreign = 0

    # Clients ---------------------------------------------------------------------------

    @rule(
        method=st.sampled_from(METHODS),
        hostname=st.sampled_from([None, "h1", "h2"]),
        id=st.sampled_from([None, "x", "y", "z"]),
        age_ms=st.sampled_from([None, 0, 300, 20_000]),
        moved=st.booleans(),
        deadline_ms=st.sampled_from([None, 0, 100, 1500]),
        priority=st.integers(3, 5),
        data=st.integers(0, 1),
        connection=st.sampled_from([b"c1", b"c2"]),
    )
    def ask(
        self,
        method: str,
        hostname: str | None,
        id: str | None,
        age_ms: int | None,
        moved: bool,
        deadline_ms: int | None,
        priority: int,
        data: int,
        connection: bytes,
    ) -> None:
        meta = {
            "id": id,
            "age_ms": age_ms,
            "moved": moved,
            "deadline_ms": deadline_ms,
            "priority": priority,
        }
        body = request_body(method, hostname, {k: v for k, v in meta.items() if v is not None})
        if data:
            body = body[:-1] + b',"data":1}'
        mark = b"%d" % len(self.asked)
        self.asked.append(mark)
        self.stage.feed(ev.Request((connection, mark, b""), body, parse_head(body)))

    # Workers ---------------------------------------------------------------------------

    @rule(name=names, kind=st.sampled_from(sorted(OFFERS)), slots=grants, ahead=grants)
    def join(self, name: str, kind: str, slots: int, ahead: int) -> None:
        if name not in self.players:
            self.players[name] = Player(self.stage, *OFFERS[kind], name=name, hello=False)
        player = self.players[name]
        player.offers, player.slots, player.ahead = OFFERS[kind], slots, ahead
        player.hello(*map(holding, player.inbox), new_peer=True)
        self.alive.add(name)

    def _some(self, data: st.DataObject) -> Player | None:
        if not self.alive:
            return None
        return self.players[data.draw(st.sampled_from(sorted(self.alive)))]

    def _tasks(self, player: Player, data: st.DataObject) -> list[wire.Assignment]:
        if not player.inbox:
            return []
        self.seen.extend(player.inbox)
        return data.draw(st.lists(st.sampled_from(player.inbox), max_size=3))

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), code=st.sampled_from(["", "", "task_failed", "busy"]))
    def finish(self, data: st.DataObject, code: str) -> None:
        player = self._some(data)
        assert player is not None
        if tasks := self._tasks(player, data) or player.inbox[:1] or self.seen[:1]:
            player.done(*tasks, code=code)

    @precondition(lambda self: self.alive and self.seen)
    @rule(data=st.data())
    def answer_what_is_not_ones_own(self, data: st.DataObject) -> None:
        player = self._some(data)
        assert player is not None
        player.done(data.draw(st.sampled_from(self.seen)), result="stale")

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), slots=grants)
    def give_back(self, data: st.DataObject, slots: int) -> None:
        player = self._some(data)
        assert player is not None
        player.give_back(*self._tasks(player, data), slots=slots)

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), slots=grants, ahead=grants)
    def grant(self, data: st.DataObject, slots: int, ahead: int) -> None:
        player = self._some(data)
        assert player is not None
        player.heartbeat(slots, ahead)

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), keep=st.booleans(), fresh=st.booleans(), bring=st.booleans())
    def hello_again(self, data: st.DataObject, keep: bool, fresh: bool, bring: bool) -> None:
        player = self._some(data)
        assert player is not None
        held = list(map(holding, self._tasks(player, data) if keep else []))
        if bring:
            held.append(self._foreign(data.draw(st.sampled_from("xyz"))))
        player.hello(*held, new_peer=fresh)

    def _foreign(self, id: str, number: int | None = None) -> wire.Held:
        self.foreign += 1
        body = request_body("once", meta={"id": id})
        # Numbers that this broker will use itself among them.
        number = self.stage.last_number + 2 if self.foreign % 2 else (9 << 40) + self.foreign
        return held_run(id, body, task=number, method="once")

    @precondition(lambda self: self.alive and self.stage.said(wire.WhoHas))
    @rule(
        data=st.data(),
        state=st.sampled_from(wire.Possession),
        lie=st.booleans(),
        result=st.booleans(),
    )
    def say_what_one_has(
        self, data: st.DataObject, state: wire.Possession, lie: bool, result: bool
    ) -> None:
        player = self._some(data)
        assert player is not None
        query = data.draw(st.sampled_from(self.stage.said(wire.WhoHas)[-5:]))
        held = self._foreign(query.id)
        if not lie:
            held = msgspec.structs.replace(held, fingerprint=query.fingerprint, method=query.method)
        player.have(query, state, held, finished(held) if result else None)

    @precondition(lambda self: self.alive)
    @rule(data=st.data(), how=st.sampled_from(["dies", "dies", "bye", "drain"]))
    def leave(self, data: st.DataObject, how: str) -> None:
        player = self._some(data)
        assert player is not None
        getattr(player, how)()
        if how != "drain":
            self.alive.discard(player.name)

    @rule(peer=st.sampled_from([b"stranger", b"peer1"]))
    def talk_nonsense(self, peer: bytes) -> None:
        self.stage.feed(ev.WorkerGarbled(peer))
        self.stage.feed(ev.WorkerSays(b"stranger", wire.Heartbeat(1, 1)))
        self.stage.feed(ev.PeerLeft())

    # Plain workers ---------------------------------------------------------------------

    @rule(peers=st.integers(0, 2))
    def plain_workers_come_and_go(self, peers: int) -> None:
        self.stage.feed(ev.PlainPeers(peers))

    @precondition(lambda self: self.stage.asked_plain)
    @rule(data=st.data(), full=st.booleans())
    def plain_worker_answers(self, data: st.DataObject, full: bool) -> None:
        token = data.draw(st.sampled_from(self.stage.asked_plain)).token
        event = ev.PlainRefused(token) if full else ev.PlainReply(token, b'{"plain": 1}')
        self.stage.feed(event)

    # Time ------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.01, 0.05, 0.3, 1.0, 4.0]), all_live=st.booleans())
    def wait(self, seconds: float, all_live: bool) -> None:
        self.stage.now += 0.01
        beating = [self.players[n] for n in sorted(self.alive)] if all_live else []
        self.stage.pass_time(seconds, alive=beating)

    @rule(seconds=st.sampled_from([0.02, 0.07, 2.0]))
    def wait_without_a_tick(self, seconds: float) -> None:
        self.stage.now += seconds

    # What always holds -----------------------------------------------------------------

    @invariant()
    def the_books_agree(self) -> None:
        self.stage.check()

    @invariant()
    def nobody_is_answered_twice_or_without_having_asked(self) -> None:
        answered = [reply.envelope[1] for reply in self.stage.replies]
        assert len(answered) == len(set(answered))
        assert set(answered) <= set(self.asked)

    @invariant()
    def queues_are_bounded(self) -> None:
        assert all(len(r.queue) <= 6 + 9 for r in self.stage.core.directory.routes.values())

    def teardown(self) -> None:
        stage = self.stage
        for _ in range(3):
            self._answer_everything()
            stage.pass_time(2, step=0.25)
        stage.pass_time(30, step=0.25)
        stage.check()
        answered = [reply.envelope[1] for reply in stage.replies]
        assert sorted(answered) == sorted(self.asked), "somebody was not answered"
        for reply in stage.replies:
            assert "success" in (fields := decode_object(reply.body)) or "plain" in fields
        assert not stage.core.roster.workers
        assert stage.leftovers() == {}

    def _answer_everything(self) -> None:
        for worker in list(self.stage.core.roster.workers.values()):
            items = [
                wire.Result(number, task.attempt, "", 1, b'{"success":0}')
                for number, task in worker.tasks.items()
            ]
            self.stage.feed(ev.WorkerSays(worker.peer, wire.Results(1, 2, 0, items)))


BrokerMachine.TestCase.settings = settings(
    max_examples=250,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestBrokerMachine = BrokerMachine.TestCase
