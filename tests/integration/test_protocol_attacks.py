"""Peers that speak the protocols well and mean harm: the honest ones are served all the same."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgpack
import pytest
import zmq

from tests.support.broker import RunningBroker, ScriptedWorker, receive
from vpoller_like.protocol import worker as wire

Worker = Callable[..., "Impostor"]


class Impostor:
    """A connection to the backend that says whatever the test wants."""

    def __init__(self, broker: RunningBroker, identity: bytes = b"") -> None:
        self.socket = broker.context.socket(zmq.DEALER)
        self.socket.linger = 0
        if identity:
            self.socket.setsockopt(zmq.IDENTITY, identity)
        self.socket.connect(broker.backend)

    def say(self, *messages: wire.FromWorker) -> None:
        """Say these."""
        for message in messages:
            self.socket.send_multipart(wire.encode(message))

    def hear(self, kind: type[Any]) -> Any:
        """Return the next message of this kind."""
        while True:
            message = wire.decode_from_broker(receive(self.socket))
            if isinstance(message, kind):
                return message

    def heard(self, kind: type[Any], within: float) -> bool:
        """Say whether such a message comes in time."""
        until = time.monotonic() + within
        while (left := until - time.monotonic()) > 0 and self.socket.poll(int(left * 1000)):
            if isinstance(wire.decode_from_broker(self.socket.recv_multipart()), kind):
                return True
        return False


def hello(
    *methods: str, instance: str = "impostor-1", session: int = 1, held: Sequence[wire.Held] = ()
) -> wire.Hello:
    """Return a HELLO with one slot."""
    offer = wire.Offer("evil", [wire.Method(name=name) for name in methods])
    return wire.Hello(
        version=wire.VERSION,
        label="impostor",
        instance=instance,
        session=session,
        pid=1,
        slots=1,
        ahead=0,
        offers=[offer],
        held=list(held),
    )


def result(task: int, attempt: int, text: str = "stolen") -> wire.Result:
    """Return a result that the honest client must not see."""
    return wire.Result(task, attempt, "", 1, json.dumps({"success": 0, "result": text}).encode())


@pytest.fixture(scope="module")
def broker() -> Iterator[RunningBroker]:
    with RunningBroker(liveness_ms=3000) as broker:
        broker.eventually(lambda: broker.admin("status")["uptime_s"] > 0.1, "its start is over")
        yield broker


@pytest.fixture
def honest(broker: RunningBroker) -> Iterator[ScriptedWorker]:
    """Return the honest worker, and see afterwards that its broker still serves by it."""
    with ScriptedWorker(broker.backend, name="honest") as worker:
        yield worker
        for number in range(3):
            assert broker.ask("echo", data=number)["result"] == number


@pytest.fixture
def impostor(broker: RunningBroker, honest: ScriptedWorker) -> Iterator[Impostor]:  # noqa: ARG001
    impostor = Impostor(broker)
    yield impostor
    impostor.socket.close(0)


@pytest.fixture
def asking(broker: RunningBroker, honest: ScriptedWorker) -> Iterator[zmq.Socket[bytes]]:
    """Return a client whose request the honest worker holds, to be answered in the end."""
    with broker.socket(zmq.REQ) as client:
        client.send(json.dumps({"method": "hold", "data": "right"}).encode())
        broker.eventually(lambda: honest.held, "the honest worker has the task")
        yield client
        honest.finish()
        reply = json.loads(receive(client)[0])
        assert (reply["success"], reply.get("result")) == (0, "right"), reply


@pytest.mark.usefixtures("asking")
def test_results_for_anothers_task_are_dropped(
    broker: RunningBroker, honest: ScriptedWorker, impostor: Impostor
) -> None:
    task = honest.held[0]
    late = broker.counter("late_results")
    impostor.say(hello("evil"))
    impostor.hear(wire.Welcome)
    forged = [result(task.task + step, attempt) for step in (0, 1, -1) for attempt in (0, 1, 2)]
    impostor.say(wire.Results(1, 1, 0, forged))
    broker.eventually(lambda: broker.counter("late_results") == late + 9, "they are dropped")


@pytest.mark.usefixtures("asking")
def test_returning_and_claiming_anothers_task_moves_nothing(
    honest: ScriptedWorker, impostor: Impostor
) -> None:
    task = honest.held[0]
    held = wire.Held(task.task, task.attempt, "hold", None, "", None, None)
    impostor.say(wire.Return(1, 0, [wire.Attempt(task.task, task.attempt)]))
    impostor.say(hello("evil", held=[held]))
    assert impostor.hear(wire.Cancel).items == [wire.Attempt(task.task, task.attempt)]
    impostor.say(wire.Return(1, 0, [wire.Attempt(task.task, task.attempt)]))
    impostor.say(wire.Results(1, 1, 0, [result(task.task, task.attempt)]))


@pytest.mark.usefixtures("asking")
def test_a_goodbye_takes_only_who_says_it(impostor: Impostor) -> None:
    impostor.say(wire.Drain(), wire.Bye())
    impostor.hear(wire.Resync)
    impostor.say(hello("evil"))
    impostor.hear(wire.Welcome)
    impostor.say(wire.Bye(), wire.Bye(), wire.Drain())
    impostor.hear(wire.Resync)


@pytest.mark.usefixtures("asking")
def test_a_second_connection_with_a_workers_routing_id_is_not_heard(
    broker: RunningBroker, honest: ScriptedWorker
) -> None:
    first = Impostor(broker, b"twin")
    first.say(hello("evil", instance="first-one"))
    # Before the other one connects, or that may be the first.
    first.hear(wire.Welcome)
    second = Impostor(broker, b"twin")
    try:
        second.say(hello("evil", instance="second-one"), wire.Bye())
        task = honest.held[0]
        second.say(wire.Results(1, 1, 0, [result(task.task, task.attempt)]))
        assert not second.heard(wire.Welcome, within=0.3)
        first.say(hello("evil", instance="first-one", session=2))
        first.hear(wire.Welcome)
    finally:
        first.socket.close(0)
        second.socket.close(0)


def test_a_second_client_with_a_routing_id_gets_nobody_elses_reply(
    broker: RunningBroker, honest: ScriptedWorker
) -> None:
    with broker.context.socket(zmq.DEALER) as first, broker.context.socket(zmq.DEALER) as second:
        for client in (first, second):
            client.linger = 0
            client.setsockopt(zmq.IDENTITY, b"client")
            client.connect(broker.server.endpoints["frontend"])
            client.send_multipart([b"", b'{"method": "hold", "data": "mine"}'])
            broker.eventually(lambda: honest.held, "the first one's request is held")
        honest.finish()
        assert json.loads(receive(first)[-1])["result"] == "mine"
        assert not second.poll(200)


@pytest.mark.usefixtures("asking")
def test_hello_twice_from_one_connection_leaves_the_last_one(
    broker: RunningBroker, impostor: Impostor
) -> None:
    for session, instance in enumerate(("impostor-1", "impostor-1", "impostor-2"), 1):
        impostor.say(hello("evil", instance=instance, session=session))
        impostor.hear(wire.Welcome)
    labels = sorted(worker["label"] for worker in broker.admin("workers"))
    assert labels == ["honest", "impostor"]


def test_a_worker_whose_instance_is_used_by_another_comes_back(
    broker: RunningBroker, honest: ScriptedWorker, impostor: Impostor
) -> None:
    # Without keys an instance is all that tells workers apart: who knows it takes the place,
    # until the worker speaks again.
    impostor.say(hello("evil", instance=honest._instance))
    impostor.hear(wire.Welcome)
    labels = lambda: [worker["label"] for worker in broker.admin("workers")]  # noqa: E731
    broker.eventually(lambda: labels() == ["honest"], "the worker has its place back")
    impostor.say(wire.Heartbeat(1, 0))
    impostor.hear(wire.Resync)


@pytest.mark.usefixtures("asking")
def test_grants_and_numbers_beyond_reason_are_no_messages(
    broker: RunningBroker, impostor: Impostor
) -> None:
    garbled = broker.counter("garbled")
    impostor.say(hello("evil"))
    absurd = ([-1, 0], [1 << 63, 0], [0, (1 << 64) - 1], [1.5, 0], [True, 0], [None, 0], ["1", 0])
    for grant in absurd:
        impostor.socket.send_multipart([b"\x03", msgpack.packb(grant)])
    impostor.say(wire.Results((1 << 63) - 1, 1 << 20, 1 << 20, []))
    assert impostor.hear(wire.Ack).seq == (1 << 63) - 1
    assert broker.counter("garbled") == garbled + len(absurd)


@pytest.mark.usefixtures("asking")
def test_have_for_what_was_not_asked_is_nothing(honest: ScriptedWorker, impostor: Impostor) -> None:
    task = honest.held[0]
    held = wire.Held(task.task, task.attempt, "hold", None, "", "x", b"x")
    impostor.say(hello("evil"))
    for state in wire.Possession:
        impostor.say(wire.Have(task.task, state, held, result(task.task, task.attempt)))
    impostor.say(hello("evil", session=2))
    impostor.hear(wire.Welcome)


@pytest.mark.usefixtures("asking")
def test_an_offer_of_a_hundred_thousand_methods_is_sent_away(impostor: Impostor) -> None:
    impostor.say(hello(*(f"m{number}" for number in range(100_000))))
    impostor.hear(wire.Refused)


@pytest.mark.usefixtures("asking")
@pytest.mark.parametrize(
    "odd",
    [
        b"\x91" * 100_000,
        b"\x81\xa1a" * 100_000,
        msgpack.packb([float("nan")] * 4),
        msgpack.packb([1, 1, 1, [[]] * 1_000_000]),
        b"\x94\x01\x00\x00\x91\x95\x01\x02\xa2\xff\xfe\x03\xc4\x00",
        b"\xdd\xff\xff\xff\xff",
        b"\x82\xa5label\xa1a\xa5label\xa1b",
    ],
    ids=["deep", "deep maps", "not numbers", "a million lists", "not text", "a lie", "keys twice"],
)
@pytest.mark.parametrize("command", [b"\x01", b"\x02", b"\x04", b"\x05"])
def test_odd_messages_are_counted_and_no_more(
    broker: RunningBroker, impostor: Impostor, command: bytes, odd: bytes
) -> None:
    garbled = broker.counter("garbled")
    impostor.socket.send_multipart([command, odd])
    impostor.hear(wire.Resync)
    assert broker.counter("garbled") == garbled + 1


@pytest.mark.usefixtures("honest")
def test_of_a_key_that_is_said_twice_broker_and_worker_take_the_same_one(
    broker: RunningBroker,
) -> None:
    body = b'{"method": "hold", "method": "echo", "data": 1, "data": 2}'
    assert json.loads(broker.ask_raw(body))["result"] == 2


@pytest.mark.usefixtures("honest")
def test_a_request_sent_twice_is_answered_twice_and_under_one_id_runs_once(
    broker: RunningBroker, honest: ScriptedWorker
) -> None:
    frames = [b"mark", b"", b'{"method": "echo", "data": 5, "meta": {"id": "again", "age_ms": 0}}']
    got = honest.got
    with broker.socket(zmq.DEALER) as client:
        for _ in range(5):
            client.send_multipart(frames)
        for _ in range(5):
            *envelope, body = receive(client)
            assert envelope == frames[:2]
            assert json.loads(body)["result"] == 5
    assert honest.got == got + 1


def test_a_plain_worker_answers_only_what_it_was_asked(broker: RunningBroker) -> None:
    with (
        broker.socket(zmq.DEALER, "plain") as spy,
        broker.socket(zmq.DEALER, "plain") as other,
        broker.socket(zmq.DEALER) as client,
    ):
        broker.eventually(lambda: broker.admin("status")["plain_workers"] == 2, "both are there")
        for number in range(2):
            client.send_multipart([b"%d" % number, b"", b'{"method": "p.m", "n": %d}' % number])
        asked = {peer: receive(peer) for peer in (spy, other)}
        token, _, mine = asked[spy]
        late = broker.counter("late_results")
        guess = bytes(15) + b"\x01"
        for forged in (guess, token[::-1], b"", os.urandom(16), token + b"\0"):
            spy.send_multipart([forged, b"", b'{"success": 0, "result": "stolen"}'])
        for _ in range(2):
            spy.send_multipart([token, b"", b'{"success": 0, "result": "first"}'])
        broker.eventually(lambda: broker.counter("late_results") >= late + 5, "they are dropped")
        other.send_multipart([*asked[other][:2], b'{"success": 0, "result": "second"}'])
        replies = {
            int(f[0]): json.loads(f[2])["result"] for f in (receive(client), receive(client))
        }
    first = json.loads(mine)["n"]
    assert replies == {first: "first", 1 - first: "second"}
    broker.eventually(lambda: broker.admin("status")["plain_workers"] == 0, "they have gone")
