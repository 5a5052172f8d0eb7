"""Everything of ours that reads bytes from elsewhere, each with what it may say to them.

A target draws inputs (lists of frames) and takes them in. What is declared, it catches;
what it lets out is a fault of ours.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgpack
import msgspec

from tests.support.core import Player, Stage, offer, request_body
from tests.support.core_rig import Rig, task
from tests.support.mutator import Mutator, spoiled_frames
from vpoller_like.agent import Agent, Params
from vpoller_like.agent import task as served
from vpoller_like.agent.host import AgentHost
from vpoller_like.broker import events as ev
from vpoller_like.broker import intake
from vpoller_like.broker.admin import Admin
from vpoller_like.client import outcome
from vpoller_like.client.policy import Exchange, Try, Wait, policy
from vpoller_like.errors import BadRequest, Busy, ProtocolError, UnknownHost, VPollerError
from vpoller_like.protocol import batch
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import (
    Encoding,
    decode_object,
    encode,
    encoding_of,
    pack,
    transcode,
)
from vpoller_like.protocol.reply import (
    ReplyMeta,
    failure,
    is_envelope,
    parse_reply,
    success,
    with_meta,
)
from vpoller_like.protocol.request import fingerprint
from vpoller_like.worker import events as wev

META = ReplyMeta(id="x", worker="node/1", attempts=1, queued_ms=0.5, ran_ms=1.25)
MAX_REQUEST = 1 << 20


def _requests() -> list[bytes]:
    full = {"id": "x", "age_ms": 0, "moved": False, "deadline_ms": 900.5, "priority": 4}
    fields: list[dict[str, Any]] = [
        {"method": "safe"},
        {"method": "once", "hostname": "h1", "name": "vm-1", "properties": ["a", "b"]},
        {"method": "safe", "meta": full | {"traceparent": "00-" + "a" * 32}, "data": {"a": [1.5]}},
        {"method": "once", "meta": {"id": "x"}},
        {"method": "away", "hostname": None, "meta": {"id": "y", "age_ms": 30_000, "moved": True}},
        {"method": "status"},
        {"method": "methods", "name": "safe"},
        {"method": "fuzz.typed", "number": 3, "names": ["a"], "inner": {"flag": True}},
    ]
    return [msgspec.json.encode(f) for f in fields] + [pack(f) for f in fields]


def _replies() -> list[bytes]:
    errors = [
        Busy("later", retry_after_ms=250),
        BadRequest("method: expected str, got int"),
        UnknownHost("nobody", hosts=["h1", "h2"], hostname="h9"),
    ]
    bodies = []
    for encoding in Encoding:
        body = success({"rows": [{"name": "vm", "size": 3}], "n": None}, "ok", encoding)
        bodies += [body, with_meta(body, META, encoding)]
        bodies += [with_meta(failure(error, encoding), META, encoding) for error in errors]
    return bodies


MARK = fingerprint(request_body("once", meta={"id": "x"}))
_HELD = wire.Held(77 << 40, 1, "once", None, "", "x", MARK)
_RESULT = wire.Result((1 << 40) + 1, 1, "", 1000, b'{"success":0,"msg":"ok","result":1}')
_METHODS = [
    wire.Method(name="safe", retry_safe=True, doc="Safe.", params=[wire.Param(name="a")]),
    wire.Method(name="once", timeout_ms=5),
]


def _from_workers() -> list[tuple[bytes, bytes]]:
    hello = wire.Hello(
        version=1,
        label="node/1",
        instance="instance-w",
        session=1,
        pid=7,
        slots=2,
        ahead=1,
        offers=[wire.Offer("test", _METHODS), wire.Offer("other", _METHODS[:1], ["h1", "h2"])],
        held=[_HELD],
    )
    messages: list[wire.FromWorker] = [
        hello,
        msgspec.structs.replace(hello, instance="instance-v", held=[], session=2),
        wire.Results(1, 2, 1, [_RESULT, wire.Result((1 << 40) + 2, 1, "task_failed", 5, b"{}")]),
        wire.Heartbeat(2, 1),
        wire.Return(2, 0, [wire.Attempt((1 << 40) + 1, 1), wire.Attempt((1 << 40) + 2, 1)]),
        wire.Have((1 << 40) + 1, wire.Possession.DONE, _HELD, _RESULT),
        wire.Have((1 << 40) + 2, wire.Possession.RUNNING, _HELD),
        wire.Drain(),
        wire.Bye(),
    ]
    return [wire.encode(message) for message in messages]


def _from_brokers() -> list[tuple[bytes, bytes]]:
    given = [task(1), task(2, "slow", request_id="x", body=b"\x81\xa6method\xa4slow")]
    messages: list[wire.FromBroker] = [
        wire.Welcome(version=1, epoch="0000ff", heartbeat_ms=1000, liveness_ms=3000),
        wire.Tasks(1, given),
        wire.Tasks(2, [task(3, "brief", request_id="y")]),
        wire.Ack(1),
        wire.Cancel([wire.Attempt(1, 1), wire.Attempt(2, 1)]),
        wire.WhoHas(9, "slow", "anna", "x", b"print"),
        wire.Resync(),
        wire.Alive(),
        wire.Shutdown(),
        wire.Refused("its key is not authorised"),
    ]
    return [wire.encode(message) for message in messages]


class Target:
    """Draws variants of ``bodies``, one frame each, and takes nothing in."""

    name = ""

    def __init__(self, bodies: Sequence[bytes]) -> None:
        self.mutator = Mutator(bodies)

    def draw(self, rng: random.Random) -> list[bytes]:
        """Return an input's frames."""
        return [self.mutator.draw(rng)]

    def feed(self, frames: list[bytes]) -> None:
        """Take an input in; raise for any fault of ours."""
        raise NotImplementedError


class Intake(Target):
    """A message at the frontend: a request, or one reply that says what is wrong."""

    name = "intake"

    def __init__(self) -> None:
        super().__init__(_requests())

    def draw(self, rng: random.Random) -> list[bytes]:
        frames = [b"\x00peer", b"", self.mutator.draw(rng)]
        return spoiled_frames(frames, rng) if rng.random() < 0.1 else frames

    def feed(self, frames: list[bytes]) -> None:
        read = intake.read(frames, len(frames) > 9, MAX_REQUEST)
        if isinstance(read, ev.Reply):
            assert read.envelope == tuple(frames[: len(read.envelope)])
            reply = parse_reply(read.body)
            assert reply["error"]["code"] in ("bad_request", "too_large")
            return
        assert [*read.envelope, read.body] == frames
        try:
            fields = decode_object(read.body)
        except ProtocolError:
            return
        # What the broker judged is what the worker will run: of a key said twice, too.
        assert fields["method"] == read.head.method
        assert fields.get("hostname") == read.head.hostname
        assert (fields.get("meta") is None) == (read.head.meta is None)


class Transcoding(Target):
    """Any body, from each encoding to the other, and its fingerprint."""

    name = "transcode"

    def __init__(self) -> None:
        super().__init__(_requests() + _replies())

    def feed(self, frames: list[bytes]) -> None:
        (body,) = frames
        for encoding in Encoding:
            try:
                other = transcode(body, encoding)
            except ProtocolError:
                continue
            assert encoding_of(other) is encoding
            decode_object(other)
        try:
            assert len(fingerprint(body)) == 16
        except ProtocolError:
            return


class Replies(Target):
    """A worker's reply in the broker, which adds ``meta`` to it."""

    name = "replies"

    def __init__(self) -> None:
        super().__init__(_replies())

    def feed(self, frames: list[bytes]) -> None:
        (body,) = frames
        encoding = encoding_of(body)
        if not is_envelope(body, encoding):
            return
        told = with_meta(body, META, encoding)
        assert is_envelope(told, encoding)
        try:
            fields = parse_reply(body)
        except ProtocolError:
            return
        assert parse_reply(told)["meta"]["id"] == "x"
        assert fields.keys() | {"meta"} == parse_reply(told).keys()


class Batches(Target):
    """Any body as a batch, as a pack, and as a reply that becomes part of one."""

    name = "batches"

    def __init__(self) -> None:
        bodies = _requests()[:4]
        pack = batch.join_replies(list(enumerate(bodies)), Encoding.JSON)
        super().__init__([*_replies(), batch.join_requests(bodies, Encoding.JSON), pack])

    def feed(self, frames: list[bytes]) -> None:
        (body,) = frames
        for read in (batch.split, batch.parse_replies, batch.read_replies):
            with contextlib.suppress(ProtocolError):
                assert read(body) is None or batch.is_batch(body)
        for encoding in Encoding:
            if batch.is_whole(body, encoding):
                good = encode({"success": 0}, encoding)
                pairs = batch.parse_replies(
                    batch.join_replies([(0, good), (1, body), (2, good)], encoding)
                )
                assert pairs is not None
                assert [(0, good), (2, good)] == [pairs[0], pairs[-1]]
                assert len(pairs) == 3


class Client(Target):
    """A hostile broker's reply in the client: always an envelope, or another try."""

    name = "client"

    def __init__(self) -> None:
        super().__init__(_replies())
        self._policy = policy(["tcp://a:1", "tcp://b:1"], 3000, 3, MAX_REQUEST)
        self._numbers = 0

    def feed(self, frames: list[bytes]) -> None:
        exchange = Exchange(self._policy, {"method": "m"}, 5.0, new_id=lambda: "x")
        assert isinstance(exchange.next_action(5.0), Try)
        exchange.on_sent(5.0)
        if not exchange.on_reply(frames[0], 5.1):
            return
        action = exchange.next_action(5.1)
        if isinstance(action, Wait):
            assert 5.1 < action.until <= 5.0 + self._policy.budget
        elif not isinstance(action, Try):
            self._read(action.envelope)

    def _read(self, envelope: dict[str, Any]) -> None:
        wait = outcome.retry_after(envelope)
        assert wait >= 0
        assert math.isfinite(wait)
        with contextlib.suppress(VPollerError):
            outcome.result_of(envelope)


class Wire(Target):
    """Messages between workers and brokers, with the command among the frames."""

    decode: Callable[[list[bytes]], Any]

    def __init__(self, messages: list[tuple[bytes, bytes]]) -> None:
        super().__init__([payload for _, payload in messages])
        self._messages = [(command, Mutator([payload])) for command, payload in messages]
        self._commands = [command for command, _ in messages]

    def draw(self, rng: random.Random) -> list[bytes]:
        command, mutator = rng.choice(self._messages)
        kind = rng.random()
        if kind < 0.05:
            command = rng.choice(self._commands)
        frames = [command, mutator.draw(rng)]
        return spoiled_frames(frames, rng) if kind > 0.95 else frames

    def read(self, frames: list[bytes]) -> Any:
        """Return the message, or None where it is none."""
        try:
            return type(self).decode(frames)
        except ProtocolError:
            return None


class FromWorker(Wire):
    """What a worker sends: a message that can be written again, or one error."""

    name = "from-worker"
    decode = staticmethod(wire.decode_from_worker)

    def __init__(self) -> None:
        super().__init__(_from_workers())

    def feed(self, frames: list[bytes]) -> None:
        message = self.read(frames)
        if message is not None:
            again = type(self).decode(list(wire.encode(message)))
            assert again == message or _has_nan(message)


class FromBroker(FromWorker):
    """What a broker sends, likewise."""

    name = "from-broker"
    decode = staticmethod(wire.decode_from_broker)

    def __init__(self) -> None:
        Wire.__init__(self, _from_brokers())


class BrokerCore(Wire):
    """A broker's core that hears such workers and clients; its books stay in order.

    An honest worker and client are there all the time, and are served in the end.
    """

    name = "broker-core"
    decode = staticmethod(wire.decode_from_worker)

    def __init__(self) -> None:
        super().__init__(_from_workers())
        self._requests = Mutator(_requests())
        self._stage = Stage(remember_bytes=8192, queue_length=50)
        self._stage.feed(ev.PlainPeers(1))
        self._honest = Player(self._stage, offer("honest"), name="honest")
        self._admin = Admin(self._stage.core, {}, lambda: None, self._stage.feed)
        self._fed = 0

    def draw(self, rng: random.Random) -> list[bytes]:
        if rng.random() < 0.4:
            return [rng.choice((b"c1", b"c2")), b"", self._requests.draw(rng)]
        return [rng.choice((b"p1", b"p2")), *super().draw(rng)]

    def feed(self, frames: list[bytes]) -> None:
        peer, *rest = frames or [b"c1"]
        if peer.startswith(b"c"):
            self._ask(frames)
        else:
            message = self.read(rest)
            self._stage.feed(
                ev.WorkerGarbled(peer) if message is None else ev.WorkerSays(peer, message)
            )
        self._fed += 1
        if self._fed % 10 == 0:
            self._stage.pass_time(0.05, alive=[self._honest])
        if self._fed % 100 == 0:
            self._be_served()

    def _ask(self, frames: list[bytes]) -> None:
        request = intake.read(frames, False, MAX_REQUEST)
        if isinstance(request, ev.Request):
            self._stage.feed(request)
            parse_reply(self._admin.answer(request, self._stage.now).body)

    def _be_served(self) -> None:
        stage = self._stage
        stage.check()
        stage.ask("honest", client=b"honest")
        self._honest.done(result=self._fed)
        assert stage.answer(b"honest")["result"] == self._fed
        stage.replies.clear()
        stage.told.clear()
        stage.asked_plain.clear()
        stage.given.clear()
        self._honest._seen = 0


class WorkerCore(Wire):
    """A worker's core that hears such brokers, and an honest one beside them."""

    name = "worker-core"
    decode = staticmethod(wire.decode_from_broker)

    def __init__(self) -> None:
        super().__init__(_from_brokers())
        self._messages = [m for m in self._messages if m[0] != bytes([wire.Command.SHUTDOWN])]
        self._rig = Rig(links=2).join()
        self._number = 1000
        self._keys: dict[int, int] = {}
        self._begun: set[int] = set()

    def feed(self, frames: list[bytes]) -> None:
        message = self.read(frames)
        if message is None or isinstance(message, wire.Shutdown):
            return
        self._play(self._rig.say(message, 0))
        self._number += 1
        if self._number % 7 == 0:
            self._play(self._rig.tick(0.3))
            self._rig.welcome(0)
            self._finish()
        if self._number % 100 == 0:
            self._be_served()

    def _play(self, actions: Sequence[Any]) -> None:
        """Be the executor: note what is to be run, and give back what is asked for."""
        for action in actions:
            if isinstance(action, wev.Submit):
                for run in action.runs:
                    assert run.key not in self._begun, "the same run was given twice"
                    self._begun.add(run.key)
                    self._keys[run.key] = run.item.task
            elif isinstance(action, wev.Recall):
                back = [key for key in action.keys if self._keys.pop(key, None) is not None]
                self._play(self._rig.handle(wev.Recalled(back)))

    def _finish(self) -> None:
        keys, self._keys = list(self._keys), {}
        done = [wev.Finished(key, "", 100, b"{}") for key in keys]
        self._play(
            self._rig.handle(wev.Progress([wev.Started(k, self._rig.now) for k in keys], []))
        )
        self._play(self._rig.handle(wev.Progress([], done)))

    def _be_served(self) -> None:
        self._finish()
        self._play(self._rig.tick(0.01))
        rig = self._rig
        rig.welcome(1)
        actions = rig.give(task(self._number), link=1)
        given = [action.runs for action in actions if isinstance(action, wev.Submit)]
        runs = [run.key for runs in given for run in runs]
        assert len(runs) == 1, "the honest broker's task is not run"
        out = rig.handle(wev.Progress([], [wev.Finished(runs[0], "", 100, b"{}")]))
        out = [*out, *rig.tick(0.01)]
        packs = [a.message for a in out if isinstance(a, wev.Send) and a.link == 1]
        results = [p for p in packs if isinstance(p, wire.Results)]
        assert self._number in [item.task for pack in results for item in pack.items]
        rig.ack(results[-1].seq, link=1)


class _Inner(Params, frozen=True):
    flag: bool = False


class _Typed(Params, frozen=True):
    number: int
    names: list[str] = []
    inner: _Inner | None = None


class _FuzzAgent(Agent):
    name = "fuzz"

    @served("fuzz.typed")
    def typed(self, msg: _Typed) -> dict[str, Any]:
        """Return what came."""
        return {"number": msg.number, "names": msg.names}

    @served("safe")
    def untyped(self, msg: dict[str, Any]) -> Any:
        """Return what came."""
        return msg


class Agents(Target):
    """A request in the worker's thread: an envelope in any case."""

    name = "agents"

    def __init__(self) -> None:
        super().__init__(_requests())
        self._host = AgentHost([_FuzzAgent()])

    def feed(self, frames: list[bytes]) -> None:
        answer = self._host.execute(frames[0], 1 << 16)
        fields = parse_reply(answer.body)
        assert (fields["success"] == 0) == (answer.code == "")
        assert encoding_of(answer.body) is encoding_of(frames[0])


TARGETS: dict[str, type[Target]] = {
    target.name: target
    for target in (
        Intake,
        Transcoding,
        Replies,
        Batches,
        Client,
        FromWorker,
        FromBroker,
        BrokerCore,
        WorkerCore,
        Agents,
    )
}


def _has_nan(message: Any) -> bool:
    return b"\xcb\x7f\xf8" in wire.encode(message)[1] or b"\xff\xf8" in wire.encode(message)[1]


Giant = tuple[type[Target], Callable[[], list[bytes]]]


def _giants() -> dict[str, Giant]:
    frame = 17 << 20
    hello, results, tasks = (
        bytes([kind.COMMAND]) for kind in (wire.Hello, wire.Results, wire.Tasks)
    )
    return {
        "a million keys": (Intake, lambda: _framed(_keys(MAX_REQUEST))),
        "a million keys, MessagePack": (Transcoding, lambda: [_packed_keys(MAX_REQUEST)]),
        "a million empty lists": (Transcoding, lambda: [b'{"a":[' + b"[]," * 349_000 + b"[]]}"]),
        "a million digits": (Transcoding, lambda: [b'{"a":' + b"9" * 1_000_000 + b"}"]),
        "half a million brackets": (Intake, lambda: _framed(b'{"method":' + b"[" * 500_000)),
        "a hundred thousand objects deep": (Transcoding, lambda: [b'{"a":' * 100_000]),
        "a million lists deep": (Transcoding, lambda: [b"\x81\xa1a" + b"\x91" * 1_000_000]),
        "a million escapes": (
            Intake,
            lambda: _framed(b'{"method":"' + b"\\u0041" * 170_000 + b'"}'),
        ),
        "half a million empty requests": (Batches, lambda: [b"[" + b"1," * 524_000 + b"1]"]),
        "a million requests, MessagePack": (
            Batches,
            lambda: [b"\xdd" + (1_000_000).to_bytes(4, "big") + b"\x80" * 1_000_000],
        ),
        "a batch half a million deep": (Batches, lambda: [b"[" * 500_000]),
        "17 MiB of empty lists": (
            FromWorker,
            lambda: [results, msgpack.packb([1, 0, 0, [[]] * (frame - 16)])],
        ),
        "2.4 million results": (
            FromWorker,
            lambda: [results, msgpack.packb([1, 0, 0, [[0, 0, "", 0, b""]] * 2_400_000])],
        ),
        "17 MiB of zeros": (FromBroker, lambda: [tasks, bytes(frame)]),
        "a hundred thousand methods": (
            BrokerCore,
            lambda: [b"p1", hello, _hello(offers=[{"agent": "a", "methods": _many_methods()}])],
        ),
        "sixty-five thousand held runs": (
            BrokerCore,
            lambda: [b"p1", hello, _hello(held=_many_held())],
        ),
    }


#: Inputs as large as the doors let in: who reads them, and what makes them.
GIANTS = _giants()


def _hello(**fields: Any) -> bytes:
    plain = msgspec.to_builtins(wire.decode_from_worker(list(_from_workers()[0])))
    packed: bytes = msgpack.packb(plain | {"held": []} | fields)
    return packed


def _many_methods() -> list[dict[str, str]]:
    return [{"name": f"m{number}"} for number in range(100_000)]


def _many_held() -> list[list[Any]]:
    return [[n, 1, "safe", None, "", str(n), b""] for n in range(1 << 16)]


def _framed(body: bytes) -> list[bytes]:
    return [b"peer", b"", body]


def _keys(size: int) -> bytes:
    keys = b",".join(b'"%x":0' % number for number in range(size // 10))
    return b'{"method":"m",' + keys + b"}"


def _packed_keys(size: int) -> bytes:
    packed: bytes = msgpack.packb({f"{number:x}": 0 for number in range(size // 8)})
    return packed
