"""The turn of the broker's loop, compiled and in Python, in lock step between doors of a test."""

from __future__ import annotations

import itertools
import random
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.core import offer, request_body, safe
from tests.support.twins import Load, as_they_are, in_python
from vpoller_like.authorized import Authorized
from vpoller_like.broker import compiled
from vpoller_like.config import BrokerSettings
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.batch import join_requests
from vpoller_like.protocol.encoding import Encoding
from vpoller_like.transport.message import Message, Sent

pytestmark = pytest.mark.skipif(compiled.TWINS.kind != "c", reason="the compiled core is not there")


#: Those of workers, of which most fit into a pack.
ANSWERS = [
    *[b'{"a":1}'] * 9,
    b"no",
    b"{}],[1,{}",
    b'{"a":1',
    '{"a":"\u00e9"}'.encode(),
    b'{"a":"\xff"}',
    b'{"a":"%b"}' % (b"x" * 500),
    b"\x81\xa1a\x01",
]

#: Bytes of a request: two of them may not fit into one pack.
MAX_REQUEST = 80_000
#: Who may use the broker, and as whom messages come.
MEMBERS = [
    Authorized("ann", "a" * 40, "caller", ("m",)),
    Authorized("bob", "b" * 40, "caller", ("n",)),
    Authorized("root", "r" * 40, "admin"),
    Authorized("worker", "w" * 40, "worker"),
]
USERS = [*["a" * 40] * 4, "b" * 40, "r" * 40, "w" * 40, "s" * 40, "plain 10.1.2.3", ""]

CODES = [*[""] * 9, "task_failed", "busy", "\u00e9", '"', "x" * 31, "x" * 32, "x" * 33]


class Side:
    """One of the two brokers."""

    def __init__(self, load: Load) -> None:
        names: tuple[str, ...] = ("turn", "core", "events", "intake", "gate", "access")
        modules: list[Any] = load("broker", *names)
        self.turn, self.core, self.events, self.intake, self.gate, self.access = modules


BOTH = (Side(as_they_are), Side(in_python))


class Door:
    """A port, and the outbox at it, which take what the dice say."""

    def __init__(self, dice: random.Random, log: list[Any]) -> None:
        self.socket = object()
        self.asks_users = False
        self.arrived: list[Message] = []
        self.due = float("inf")
        self._dice = dice
        self._log = log

    def receive(self, ready: bool) -> list[Message]:
        found, self.arrived = (self.arrived, []) if ready else ([], self.arrived)
        return found

    def send(self, frames: Any) -> Sent:
        sent = self._dice.choice([Sent.DONE] * 6 + [Sent.FULL, Sent.GONE])
        self._log.append((tuple(frames), sent.value))
        return sent

    def send_all(self, messages: Any) -> list[Sent]:
        return [self.send(frames) for frames in messages]


class Doors:
    """What :class:`~vpoller_like.broker.doors.Doors` has that a turn knows of."""

    def __init__(self, dice: random.Random, log: list[Any]) -> None:
        self.frontend = self.frontend_outbox = Door(dice, log)
        self.backend = self.backend_outbox = Door(dice, log)
        self.admin_outbox = Door(dice, log)
        self.busy = {self.frontend.socket, self.backend.socket}
        self.other = object()
        self.other_is_ready = False
        self.poll = SimpleNamespace(wait=self.wait)
        self._log = log

    def wait(self, timeout: float, without: Any = None) -> set[Any]:
        self._log.append(("wait", timeout, without is not None))
        ports = [port for port in (self.frontend, self.backend) if port is not without]
        ready = {port.socket for port in ports if port.arrived}
        return ready | {self.other} if self.other_is_ready else ready


def new_loop(side: Side, seed: int) -> Any:
    """Return a broker's loop between such doors, on a course that the seed alone decides."""

    class Loop(side.turn.Turn):  # type: ignore[misc,name-defined]
        def __init__(self) -> None:
            self.dice, self.log, self.now = random.Random(seed), [], 100.0
            limits = BrokerSettings(
                grace_ms=1,
                max_in_flight=30,
                queue_length=20,
                max_reply=2048,
                max_request=MAX_REQUEST,
                max_batch=350,
            )
            tokens = itertools.count()
            core = side.core.BrokerCore(
                limits, now=0.0, epoch=1, new_token=lambda: b"%d" % next(tokens)
            )
            replies: list[Any] = []
            self.access = side.access.Access(MEMBERS, ["10.1.0.0/16"], ["m"])
            gate = side.gate.Gate(self.access, core.counters, lambda: self.now)
            intake = side.intake.Intake(limits, gate, core.counters, replies.append)
            self.doors = Doors(self.dice, self.log)
            super().__init__(core, self.doors, intake, replies, lambda: self.now)
            self._perform[side.events.Tell] = lambda a: self._tell(a.peer, a.message)
            self._perform[side.events.AskPlain] = lambda a: self.log.append(tuple(a))

        def seldom(self, ready: Any) -> None:
            self.log.append(("seldom", len(ready), self._due))
            self._next_tick = self.now + self._lull.ticked()
            self._feed_all([side.events.Tick()])

        def gone_workers(self, ready: Any) -> None:
            more = self.doors.backend.socket in ready
            for event in sorted(self._gone.take(more, self.now)):
                self.log.append(tuple(event))
                self._feed_all([event])

        def allowed(self, message: Any) -> Any:
            self.log.append("allowed")
            return self.dice.choice([side.turn.worker_event(message), None])

        def undeliverable(self, count: int) -> None:
            self.log.append(("undeliverable", count))

        def log_fault(self, error: Exception, event: Any) -> None:
            self.log.append((type(error).__name__, type(event).__name__))

    return Loop()


class Course:
    """What clients and workers send in, and what has come of each turn."""

    def __init__(self, side: Side, seed: int) -> None:
        self.loop = new_loop(side, seed)
        self.dice = self.loop.dice
        self.sequence = 0

    def run(self, turns: int) -> list[Any]:
        loop = self.loop
        for _ in range(turns):
            loop.now += self.dice.choice([0.0, 0.001, 0.06, 0.2])
            for way in self.dice.sample([self.ask, self.work, self.chance], self.dice.randrange(4)):
                way()
            loop.turn()
            core = loop._core
            loop.log.append(core.counters.as_dict())
            loop.log.append((len(core.dispatcher.live), len(loop._inbox.messages), loop._due))
            assert not loop._replies
            assert not loop._packs.open
            assert not core._out
        return [repr(entry) for entry in loop.log]

    def ask(self) -> None:
        for _ in range(self.dice.randrange(5)):
            body = self.request()
            odd = [b"x" * (MAX_REQUEST + 1), b"{", b"", self.batch(body)]
            body = self.dice.choice([body, body, body, *odd])
            # One that it chose itself, or one that a ROUTER gives.
            peer = self.dice.choice([b"c%d", b"\0abc%d", b"\0abc%d"]) % self.dice.randrange(3)
            frames = [peer, b"", body]
            if self.dice.random() < 0.5:
                frames.insert(1, b"%d" % self.dice.randrange(1000))
            message = Message(frames, self.dice.random() < 0.1, self.dice.choice(USERS))
            self.loop.doors.frontend.arrived.append(message)

    def request(self) -> bytes:
        dice = self.dice
        # Each size of text has a head of its own in TASKS.
        id = f"id{dice.randrange(9)}" * dice.choice([1, 1, 1, 12])
        return request_body(
            dice.choice(["m", "n"]),
            meta=dice.choice([None, {"id": id, "age_ms": 0}]),
            **dice.choice([{}, {}, {"hostname": dice.choice(["h", "h" * 31, "\u00e9" * 16])}]),
            **dice.choice([{}, {}, {"x": "x" * dice.choice([180, 300, 70_000])}]),
        )

    def batch(self, body: bytes) -> bytes:
        dice = self.dice
        parts = [body] * dice.choice([1, 2, 3, 300, 400] if len(body) < 1000 else [1, 2])
        if dice.random() < 0.3:
            odd = [b'{"method":1}', b"[]", b"{", b'{"method":"\xff"}', b'{"method":"m","x":"\xff"}']
            parts.insert(dice.randrange(len(parts)), dice.choice(odd))
        whole = join_requests(parts, dice.choice([Encoding.JSON] * 5 + [Encoding.MSGPACK]))
        return dice.choice(
            [whole] * 6 + [b" " + whole, whole + b" ", b"[]", whole[:-1], whole + b"]"]
        )

    def work(self) -> None:
        dice = self.dice
        number = dice.randrange(3)
        frames: list[bytes] = [b"w%d" % number]
        match dice.randrange(7):
            case 0:
                offers = [offer(safe("m"), "n")]
                frames += wire.encode(
                    wire.Hello(
                        1, f"w{number}", f"instance{number}", 1, 7, 2, dice.randrange(9), offers
                    )
                )
            case 1:
                frames += wire.encode(wire.Heartbeat(dice.randrange(3), dice.randrange(9)))
            case 2:
                frames += dice.choice([[b"\x02", b"\x00"], [b"\x02"], [], [b"\x7f", b""]])
            case _:
                command, frame = wire.encode(self.results(b"w%d" % number))
                if dice.random() < 0.2:
                    # A code that is empty, written as other libraries may write it.
                    frame = frame.replace(b"\xa0\x64", b"\xd9\x00\x64")
                frames += [command, self.spoiled(frame) if dice.random() < 0.2 else frame]
        truncated = dice.random() < 0.05
        self.loop.doors.backend.arrived.append(Message(frames, truncated))

    def spoiled(self, frame: bytes) -> bytes:
        """Return ``frame`` with a byte of its first ones that is another, cut, or with one more."""
        dice = self.dice
        at = dice.randrange(min(len(frame), 40))
        odd = dice.choice([dice.randbytes(1), b"\x90", b"\xcc", b"\xcf", b"\xd9", b"\xdc", b"\xc6"])
        return dice.choice([frame[:at] + odd + frame[at + 1 :], frame[:at], frame + odd])

    def results(self, peer: bytes) -> wire.Results:
        self.sequence += 1
        worker = self.loop._core.roster._by_peer.get(peer)
        held = list(worker.tasks.items()) if worker is not None else []
        items = [
            wire.Result(
                task,
                known.attempt,
                self.dice.choice(CODES),
                self.dice.choice([100, 100, 0, 1 << 16, 1 << 40, (1 << 63) - 1]),
                self.dice.choice(ANSWERS),
            )
            for task, known in held
        ]
        return wire.Results(self.sequence, 2, self.dice.randrange(9), items)

    def chance(self) -> None:
        doors, dice = self.loop.doors, self.dice
        doors.other_is_ready = dice.random() < 0.3
        doors.frontend.asks_users = dice.random() < 0.5
        doors.backend.asks_users = dice.random() < 0.2
        if dice.random() < 0.1:
            self.loop.access.renew(dice.sample(MEMBERS, dice.randrange(3)))
        door = dice.choice([doors.frontend_outbox, doors.backend_outbox, doors.admin_outbox])
        door.due = dice.choice([float("inf"), self.loop.now + 0.01, 0.0])


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 1 << 32))
def test_turns_send_and_wait_the_same(seed: int) -> None:
    ours, theirs = (Course(side, seed).run(60) for side in BOTH)
    for one, other in zip(ours, theirs, strict=False):
        assert one == other
    assert len(ours) == len(theirs)


def test_many_tasks_go_in_one_message() -> None:
    """Their number has a head of its own, too; and so has that of more than a byte."""
    seen = []
    for side in BOTH:
        course = Course(side, 0)
        loop, doors = course.loop, course.loop.doors
        loop.now += 1.0
        # What is sent is taken.
        doors.backend._dice = SimpleNamespace(choice=lambda fates: fates[0])
        hello = wire.Hello(1, "w", "instance", 1 << 40, 7, 2, 100, [offer(safe("m"), "n")])
        doors.backend.arrived.append(Message([b"w", *wire.encode(hello)], False))
        loop.turn()
        parts = [request_body("m")] * 24
        doors.frontend.arrived.append(
            Message([b"c", b"", join_requests(parts, Encoding.JSON)], False)
        )
        loop.turn()
        seen.append([repr(entry) for entry in loop.log])
    assert seen[0] == seen[1]
    assert "\\x92\\xcf\\x00\\x00\\x01\\x00\\x00\\x00\\x00\\x00\\xdc\\x00\\x18" in "".join(seen[0])


def test_these_are_two() -> None:
    assert BOTH[0].turn.Turn.__module__.endswith("_hot")
    assert BOTH[1].turn.Turn.__module__.endswith("turn")


def test_the_course_goes_everywhere() -> None:
    """A course on which nothing happens would find both equal."""
    text = "\n".join(entry for seed in range(20) for entry in Course(BOTH[1], seed).run(60))
    signs = ("'gone'", "'full'", "undeliverable", "seldom", "allowed", "\\x82", "True)")
    # Heads of TASKS' texts and bytes, of each size.
    signs += ("\\xd9$", "\\xc4", "\\xc5\\x01", "\\xc6\\x00\\x01")
    # Who is let in, and who is not.
    signs += ("ann", "without a key may ask", "not authorised", "must be left to the broker")
    for sign in signs:
        assert sign in text, sign


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = BOTH[1].turn.Turn._is_rare
    monkeypatch.setattr(
        BOTH[1].turn.Turn, "_is_rare", lambda turn, ready: usual(turn, ready) and len(ready) != 2
    )
    ours, theirs = ([Course(side, seed).run(60) for seed in range(40)] for side in BOTH)
    assert ours != theirs
