"""The turn of a worker's loop, between ports that a test plays and a core that is real."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.core_rig import OFFER, task
from vpoller_like.config import WorkerSettings
from vpoller_like.errors import ProtocolError
from vpoller_like.protocol import worker as wire
from vpoller_like.transport.message import Message, Sent
from vpoller_like.transport.waker import Waker
from vpoller_like.worker import events as ev
from vpoller_like.worker.core import Identity, WorkerCore
from vpoller_like.worker.executor import Executor
from vpoller_like.worker.turn import Turn

WELCOME = wire.Welcome(version=1, epoch="first", heartbeat_ms=1000, liveness_ms=3000)


class Outcome:
    code = ""
    body = b"{}"


class Host:
    def execute(self, body: bytes, max_reply: int) -> Outcome:  # noqa: ARG002
        return Outcome()


class Port:
    """Says what the test has entered, and keeps what it is told."""

    def __init__(self) -> None:
        self.socket = object()
        self.arrived: list[Message] = []
        self.sent: list[Any] = []
        self.takes = Sent.DONE

    def receive(self, ready: bool) -> list[Message]:
        found, self.arrived = (self.arrived, []) if ready else ([], self.arrived)
        return found

    def send(self, frames: tuple[bytes, bytes]) -> Sent:
        if self.takes is Sent.DONE:
            self.sent.append(wire.decode_from_worker(list(frames)))
        return self.takes


class Poll:
    """Has every port that something has arrived at, and the waker if it is awake."""

    def __init__(self, ports: list[Port], waker: Waker) -> None:
        self._ports = ports
        self._waker = waker
        self.waits: list[float] = []

    def wait(self, timeout: float) -> set[Any]:
        self.waits.append(timeout)
        return {port.socket for port in self._ports if port.arrived} | {self._waker.fd}


class Loop(Turn):
    """A turn with two brokers; what it leaves to others is noted."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.links = [Port(), Port()]
        settings = WorkerSettings(backends=["tcp://127.0.0.1:1", "tcp://127.0.0.1:2"], threads=1)
        core = WorkerCore(settings, Identity("node/0", "0123456789", 42), [OFFER])
        executor = Executor(Host(), 1, 1000, lambda: self.now)
        waker = Waker()
        super().__init__(core, executor, self.links, waker, lambda: self.now)  # type: ignore[arg-type]
        self.poll = Poll(self.links, waker)
        self._poll = self.poll  # type: ignore[assignment]
        self.remarks: list[tuple[int, wire.FromBroker]] = []
        self.faults: list[tuple[int, ProtocolError]] = []
        self._perform = {ev.Exit: self._exit, ev.Recall: self._recall}

    def _recall(self, action: ev.Recall) -> None:
        self._follow(ev.Recalled(self._executor.take_back(action.keys)))

    def _exit(self, action: ev.Exit) -> None:
        self.ended = action.reason

    def _look_around(self, now: float) -> float | None:
        self._feed(ev.Tick())
        self._next_pulse = now + 1.0
        return self._core.next_due(now)

    def _remark(self, index: int, said: wire.FromBroker) -> None:
        self.remarks.append((index, said))

    def _garbled(self, index: int, error: ProtocolError) -> None:
        self.faults.append((index, error))

    def says(self, message: wire.FromBroker, link: int = 0) -> None:
        """A broker says something."""
        self.links[link].arrived.append(Message(list(wire.encode(message)), False))

    def told(self, link: int = 0) -> list[Any]:
        """Return what a broker was told since the last time."""
        told, self.links[link].sent = self.links[link].sent, []
        return told

    def turn(self, after: float = 0.0) -> bool:
        """Turn once, as the crew's leader does, and run what is to be run."""
        self.now += after
        if not self.settle():
            return False
        self.listen()
        while (run := self._executor.next()) is not None:
            self._executor.run(0, run)
        return self.settle()


@pytest.fixture
def loop() -> Loop:
    """Return a loop that both brokers have welcomed."""
    loop = Loop()
    loop.turn()
    for link in range(2):
        assert [type(message) for message in loop.told(link)] == [wire.Hello]
        loop.says(WELCOME, link)
    loop.turn()
    assert loop.remarks == [(0, WELCOME), (1, WELCOME)]
    return loop


def results(loop: Loop, link: int = 0) -> list[int]:
    told = [message for message in loop.told(link) if isinstance(message, wire.Results)]
    return [item.task for message in told for item in message.items]


def test_tasks_are_run_and_their_results_sent_to_who_gave_them(loop: Loop) -> None:
    loop.says(wire.Tasks(1, [task(1), task(2)]), 0)
    loop.says(wire.Tasks(1, [task(7)]), 1)
    loop.turn()
    assert results(loop, 0) == [1, 2]
    assert results(loop, 1) == [7]


def test_it_waits_until_something_is_due_and_not_at_all_while_something_is_to_be_run(
    loop: Loop,
) -> None:
    loop.poll.waits.clear()
    loop.turn()
    assert 0.0 < loop.poll.waits[-1] <= 1.0
    loop.says(wire.Tasks(1, [task(1)]))
    loop.listen()
    loop.listen()
    assert loop.poll.waits[-1] == 0.0


def test_what_is_no_message_is_told_and_the_next_one_served(loop: Loop) -> None:
    loop.links[0].arrived.append(Message([b"\x82", b"\xc1"], False))
    loop.says(wire.Tasks(1, [task(1)]))
    loop.turn()
    ((index, error),) = loop.faults
    assert (index, error.message.partition(":")[0]) == (0, "Tasks")
    assert results(loop) == [1]


@pytest.mark.parametrize("takes", [Sent.FULL, Sent.GONE])
def test_what_a_broker_does_not_take_is_said_again_after_a_new_hello(
    loop: Loop, takes: Sent
) -> None:
    loop.says(wire.Tasks(1, [task(1)]))
    loop.links[0].takes = takes
    loop.turn()
    assert loop.told() == []
    loop.links[0].takes = Sent.DONE
    loop.turn(after=0.2)
    (hello,) = loop.told()
    assert isinstance(hello, wire.Hello)
    assert [held.task for held in hello.held] == [1]
    loop.says(WELCOME)
    loop.turn()
    assert results(loop) == [1]


def test_orders_come_after_messages_and_the_last_turn_says_so(loop: Loop) -> None:
    loop._orders.append(ev.DrainRequested())
    loop.says(wire.Tasks(1, [task(1)]))
    loop.turn()
    # Taken on before the order, and so given back; by a last HELLO a broker knows what is left.
    assert [type(message) for message in loop.told()] == [wire.Drain, wire.Return, wire.Hello]
    assert not loop.ended
    for link in range(2):
        loop.says(WELCOME, link)
    assert not loop.turn()
    assert [type(message) for message in loop.told()] == [wire.Drain, wire.Bye]
    assert loop.ended == "drained"
