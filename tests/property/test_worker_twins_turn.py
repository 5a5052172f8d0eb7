"""The compiled turn of a worker's loop in lock step with the one in Python, frame by frame."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.core_rig import OFFER, task
from tests.support.worker_twins import MOST, Steps, assert_same, told
from vpoller_like.config import WorkerSettings
from vpoller_like.protocol import worker as wire
from vpoller_like.transport.message import Message, Sent
from vpoller_like.worker import compiled

pytestmark = pytest.mark.skipif(compiled.TWINS.kind != "c", reason="the compiled core is not there")

BACKENDS = ["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"]
WELCOME = wire.Welcome(version=1, epoch="first", heartbeat_ms=1000, liveness_ms=3000)
#: What is no message, or none that is there all the time.
ODD: list[list[bytes]] = [
    [],
    [b"\x82"],
    [b"\x82", b"\x92\x01\x90", b""],
    [b"", b"\x91\x01"],
    [b"\x83\x83", b"\x91\x01"],
    [b"\x02", b"\x91\x01"],
    [b"\xff", b"\x90"],
    [b"\x82", b""],
    [b"\x82", b"\x92\x01\xc0"],
    [b"\x82", b"\x92\x01\x91\x98\x01\x01\xa0\xc0\xa0\xc0\xc0\xc4\x00"],
    [b"\x82", b"\x91" * 5000],
    [b"\x83", b"\x91\xa1x"],
    [b"\x83", b"\x91\xff"],
    [b"\x83", b"\x92\x01\x01"],
    [b"\x83", b"\xc1"],
]


class Port:
    """One broker's; it fails, or takes nothing, when the dice say so."""

    def __init__(self, steps: TurnSteps) -> None:
        self.steps, self.socket = steps, object()
        self.arrived: list[Message] = []

    def receive(self, ready: bool) -> list[Message]:
        found, self.arrived = (self.arrived, []) if ready else ([], self.arrived)
        return found

    def send(self, frames: tuple[bytes, bytes]) -> Sent:
        steps = self.steps
        steps.log.append(frames)
        if steps.dice.random() < 0.02:
            raise LookupError("planted")
        return steps.dice.choices([Sent.DONE, Sent.FULL, Sent.GONE], [18, 1, 1])[0]


class TurnSteps(Steps):
    """A turn with two brokers that say what the dice say; it is its poll, waker and host."""

    code, body, fd = "", b"{}", -1

    def begin(self) -> None:
        steps, side = self, self.side
        self.log: list[Any] = []
        self.ports = [Port(self), Port(self)]

        class Loop(side.turn.Turn):  # type: ignore[name-defined, misc]
            def _look_around(self, now: float) -> float | None:
                self._feed(side.events.Tick())
                self._next_pulse = now + 1.0
                due: float | None = self._core.next_due(now)
                return due

            def _remark(self, index: int, said: Any) -> None:
                steps.log.append((index, said))

            def _garbled(self, index: int, error: Any) -> None:
                cause = error.__cause__
                steps.log.append((index, str(error), error.args, type(cause), str(cause)))

        chosen = WorkerSettings(backends=BACKENDS, threads=1)
        core = side.core.WorkerCore(chosen, side.core.Identity("node/0", "01234567", 42), [OFFER])
        self.executor = side.executor.Executor(self, 1, 1000, self.clock)
        self.loop = Loop(core, self.executor, self.ports, self, self.clock)
        self.loop._poll = self
        self.loop._perform = {side.events.Recall: self.recall, side.events.Exit: self.exit}
        self.numbers = 0
        for _ in range(4):
            self.step()

    def clock(self) -> float:
        return self.now

    def recall(self, action: Any) -> None:
        back = self.executor.take_back(action.keys)
        self.log.append(back)
        self.loop._follow(self.side.events.Recalled(back))

    def exit(self, action: Any) -> None:
        self.loop.ended = action.reason

    def wait(self, timeout: float) -> set[Any]:
        self.log.append(timeout)
        return {port.socket for port in self.ports if port.arrived}

    def execute(self, body: bytes, most: int) -> Any:
        self.log.append((body, most))
        return self

    def arrive(self) -> None:
        session = self.loop._core._links[0].session
        for _ in range(self.dice.randrange(3)):
            self.numbers += 1
            tasks = [task(self.numbers, request_id=self.dice.choice([None, "a"]))]
            message: Any = self.dice.choice(
                [
                    *[wire.Tasks(session, tasks)] * 6,
                    *[wire.Ack(self.dice.choice([0, 1, self.numbers, MOST]))] * 3,
                    *[WELCOME] * 2,
                    wire.Alive(),
                    wire.Cancel([wire.Attempt(self.numbers, 1)]),
                    wire.Resync(),
                    wire.Refused("no"),
                ]
            )
            frames = list(wire.encode(message))
            if self.dice.random() < 0.15:
                frames = list(self.dice.choice(ODD))
            self.dice.choice(self.ports).arrived.append(Message(frames, False))

    def work(self) -> None:
        run = self.executor.next()
        if run is not None:
            self.executor.run(self.executor.take_place(), run)
            self.executor.leave_place(0)

    def wait_long(self) -> None:
        self.now += self.dice.choice([0.0001, 0.3, 4.0])

    def order(self) -> None:
        if self.dice.random() < 0.05:
            self.loop._orders.append(self.side.events.DrainRequested())

    def step(self) -> Any:
        self.now += self.dice.choice([0.0, 0.0001, 0.002])
        self.arrive()
        often = [self.loop.settle, self.loop.listen, self.work] * 4
        return self.take_turns(*often, self.wait_long, self.order)

    def state(self) -> Any:
        loop, core = self.loop, self.loop._core
        runs = [core._runs.waiting, core._runs.running, core._ledger.unwanted, core._out]
        seen = [[type(action).__name__, told(action)] for action in loop._actions]
        return told([*runs, seen, loop.ended, self.log, loop._next_look, self.executor.is_ready])


@settings(max_examples=60)
@given(st.integers(0, 1 << 32))
def test_turns_take_in_and_send_the_same(seed: int) -> None:
    assert_same(TurnSteps, seed, 80)
