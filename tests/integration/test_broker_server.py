"""A real broker on real sockets: whatever comes in, it answers, and serves the next one."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
import zmq

from tests.support.broker import PATIENCE, RunningBroker, ScriptedWorker, receive
from vpoller_like.broker import BrokerServer
from vpoller_like.broker.events import Request, WorkerSays, WorkersToLeave
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import ConfigError
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.batch import join_requests, parse_replies
from vpoller_like.protocol.encoding import Encoding, decode_object
from vpoller_like.protocol.request import parse_head
from vpoller_like.transport.message import Message, Sent

ECHO = b'{"method": "echo", "data": 5}'


@pytest.fixture(scope="module")
def broker() -> Iterator[RunningBroker]:
    """A broker with one worker, which all tests of this module share: none may harm it."""
    offers = wire.Offer(
        "test",
        [wire.Method(name="echo", retry_safe=True), wire.Method(name="hold")],
        hosts=["here"],
    )
    with RunningBroker() as broker, ScriptedWorker(broker.backend, offers):
        time.sleep(0.1)
        yield broker


def settings(**others: Any) -> BrokerSettings:
    doors = dict.fromkeys(("frontend", "backend", "plain", "admin"), "tcp://127.0.0.1:*")
    return BrokerSettings(**{**doors, **others})


def still_serves(broker: RunningBroker) -> None:
    assert broker.ask("echo", data="next")["result"] == "next"


# What is refused -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        (b"", "bad_request", "empty body"),
        (b"{}", "bad_request", "missing field method"),
        (b'"helper"', "bad_request", "expected a JSON object, got str"),
        (b"[]", "bad_request", "an empty batch; send an array of requests"),
        (b"not json", "bad_request", "not valid JSON"),
        (b'{"method": "echo", "data": NaN}', "bad_request", "not valid JSON"),
        (b'{"method": "echo\xff"}', "bad_request", "not UTF-8"),
        (b"\xff\xfe{}", "bad_request", "not valid JSON"),
        (b'{"method": 5}', "bad_request", "method: expected str, got int"),
        (b'{"method": ""}', "bad_request", "method:"),
        (b'{"method": "echo", "hostname": 5}', "bad_request", "hostname: expected str"),
        (b'{"method": "echo", "meta": {"priority": 12}}', "bad_request", "meta.priority:"),
        (b'{"method": "echo", "meta": {"id": "%s"}}' % (b"x" * 200), "bad_request", "meta.id:"),
        (b'{"method": "echo", "data": ' + b"[" * 100_000, "bad_request", "nested too deeply"),
        (b'{"method": "no.such"}', "unknown_method", "no worker serves no.such"),
        (b'{"method": "echo", "hostname": "away"}', "unknown_host", "it is served for here"),
        (b'{"method":"echo","data":"%s"}' % (b"x" * (2 << 20)), "too_large", "2097179 bytes"),
    ],
    ids=lambda value: value[:40].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_a_request_that_is_none_is_told_why_and_the_next_is_served(
    broker: RunningBroker, body: bytes, code: str, says: str
) -> None:
    reply = decode_object(broker.ask_raw(body))
    assert reply["success"] == 1
    assert reply["error"]["code"] == code
    assert says in reply["msg"]
    still_serves(broker)


def test_a_bad_request_in_messagepack_is_told_so_in_messagepack(broker: RunningBroker) -> None:
    for body in (b"\x80", b"\x81\xa6method\x05", b"\xdf\xff\xff\xff\xff", b"\x91\x91"):
        reply = msgpack.unpackb(broker.ask_raw(body)) if body[:1] != b"\x91" else None
        assert reply is None or reply["error"]["code"] == "bad_request"
    still_serves(broker)


def test_a_message_without_a_delimiter_is_told_so(broker: RunningBroker) -> None:
    with broker.socket(zmq.DEALER) as dealer:
        dealer.send(ECHO)
        (body,) = receive(dealer)
        assert "no empty delimiter frame" in decode_object(body)["msg"]
        dealer.send_multipart([b"a", b"b", ECHO])
        (body,) = receive(dealer)
        assert decode_object(body)["error"]["code"] == "bad_request"
        dealer.send_multipart([b"", ECHO])
        assert decode_object(receive(dealer)[1])["result"] == 5


def test_a_message_without_a_body_or_with_two_is_told_so(broker: RunningBroker) -> None:
    with broker.socket(zmq.DEALER) as dealer:
        for frames, says in (
            ([b"tag", b""], "no body after the delimiter"),
            ([b"tag", b"", ECHO, ECHO], "more than one frame after the delimiter"),
        ):
            dealer.send_multipart(frames)
            *envelope, body = receive(dealer)
            assert envelope == [b"tag", b""]
            assert says in decode_object(body)["msg"]
        dealer.send_multipart([b"tag", b"", ECHO])
        assert receive(dealer)[:2] == [b"tag", b""]


def test_a_batch_is_answered_request_by_request_as_they_finish(broker: RunningBroker) -> None:
    requests = [b'{"method": "echo", "data": %d}' % number for number in range(300)]
    requests[7] = b'{"data": 7}'
    got: dict[int, dict[str, Any]] = {}
    with broker.socket(zmq.DEALER) as dealer:
        dealer.send_multipart([b"tag", b"", join_requests(requests, Encoding.JSON)])
        while len(got) < len(requests):
            *envelope, body = receive(dealer)
            assert envelope == [b"tag", b""]
            for index, reply in parse_replies(body) or ():
                assert index not in got
                got[index] = decode_object(reply)
        assert got.pop(7)["error"]["code"] == "bad_request"
        assert all(reply["result"] == number for number, reply in got.items())
        dealer.send_multipart([b"tag", b"", b"[" + ECHO])
        assert decode_object(receive(dealer)[2])["error"]["code"] == "bad_request"
        dealer.send_multipart([b"tag", b"", ECHO])
        assert decode_object(receive(dealer)[2])["result"] == 5


@pytest.mark.parametrize("frame", [b"", b"x"])
def test_a_hundred_thousand_frames_are_told_to_be_too_many(
    broker: RunningBroker, frame: bytes
) -> None:
    with broker.socket(zmq.DEALER, SNDHWM=0) as dealer:
        for _ in range(99_999):
            dealer.send(frame, zmq.SNDMORE)
        dealer.send(frame)
        assert decode_object(receive(dealer)[-1])["error"]["code"] == "bad_request"
        dealer.send_multipart([b"", ECHO])
        assert decode_object(receive(dealer)[-1])["result"] == 5
    still_serves(broker)


def test_nine_mebibytes_close_the_connection_and_nothing_else(broker: RunningBroker) -> None:
    with broker.socket(zmq.REQ) as big, broker.socket(zmq.REQ) as other:
        other.send(ECHO)
        receive(other)
        big.send(b'{"method": "echo", "data": "%s"}' % (b"x" * (9 << 20)))
        assert not big.poll(500)
        other.send(ECHO)
        assert decode_object(receive(other)[0])["result"] == 5
    still_serves(broker)


def test_seven_mebibytes_are_told_to_be_too_large(broker: RunningBroker) -> None:
    reply = decode_object(broker.ask_raw(b'{"data": "%s"}' % (b"x" * (7 << 20))))
    assert reply["error"]["code"] == "too_large"
    assert reply["error"]["limit"] == 1 << 20


def test_bytes_that_are_not_even_zeromq_harm_nobody(broker: RunningBroker) -> None:
    for door in ("frontend", "backend", "plain", "admin"):
        port = int(broker.server.endpoints[door].rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), PATIENCE) as stream:
            stream.sendall(b"GET / HTTP/1.1\r\n\r\n" * 50)
    still_serves(broker)


# Envelopes -----------------------------------------------------------------------------


def test_a_plain_req_socket_is_answered(broker: RunningBroker) -> None:
    with broker.socket(zmq.REQ) as req:
        for number in range(3):
            req.send(b'{"method": "echo", "data": %d}' % number)
            assert decode_object(receive(req)[0])["result"] == number


def test_a_req_socket_with_correlation_is_answered(broker: RunningBroker) -> None:
    with broker.socket(zmq.REQ, REQ_CORRELATE=1, REQ_RELAXED=1) as req:
        for number in range(3):
            req.send(b'{"method": "echo", "data": %d}' % number)
            assert decode_object(receive(req)[0])["result"] == number


def test_a_dealer_gets_its_own_frames_back_with_each_reply(broker: RunningBroker) -> None:
    with broker.socket(zmq.DEALER) as dealer:
        for number in range(7):
            marks = [b"%d.%d" % (number, mark) for mark in range(number)]
            dealer.send_multipart([*marks, b"", b'{"method": "echo", "data": %d}' % number])
        got = [receive(dealer) for _ in range(7)]
    for *envelope, body in got:
        number = decode_object(body)["result"]
        assert envelope == [*[b"%d.%d" % (number, mark) for mark in range(number)], b""]


def test_many_requests_at_once_are_all_answered(broker: RunningBroker) -> None:
    with broker.socket(zmq.DEALER, SNDHWM=0, RCVHWM=0) as dealer:
        for number in range(2000):
            dealer.send_multipart([b"%d" % number, b"", b'{"method":"echo","data":%d}' % number])
        got = [receive(dealer) for _ in range(2000)]
    assert sorted(int(mark) for mark, _, _ in got) == list(range(2000))
    assert all(decode_object(body)["result"] == int(mark) for mark, _, body in got)


# Admin ---------------------------------------------------------------------------------


def test_the_admin_endpoint_tells_of_the_broker(broker: RunningBroker) -> None:
    status = broker.admin("status")
    assert status["pid"] == os.getpid()
    assert status["workers"] == 1
    assert status["endpoints"] == broker.server.endpoints
    (worker,) = broker.admin("workers")
    assert worker["label"] == "scripted"
    assert [entry["method"] for entry in broker.admin("methods")] == ["echo", "hold"]
    assert [entry["method"] for entry in broker.admin("methods", name="hold")] == ["hold"]


@pytest.mark.parametrize(
    "body",
    [
        b"{}",
        b"[1]",
        b"not json",
        b'{"method": "nothing"}',
        b'{"method": "status", "x": "\xff"}',
        b'{"method": "methods", "name": 5}',
        b'{"method": "status", "x": "%s"}' % (b"x" * (2 << 20)),
    ],
    ids=lambda body: body[:40].decode("latin-1"),
)
def test_nonsense_at_the_admin_endpoint_is_told_so(broker: RunningBroker, body: bytes) -> None:
    reply = decode_object(broker.ask_raw(body, "admin"))
    assert reply["success"] == 1
    assert broker.admin("status")["workers"] == 1


def test_the_admin_endpoint_takes_no_tasks_and_the_frontend_no_verbs(
    broker: RunningBroker,
) -> None:
    assert broker.ask("echo", "admin")["error"]["code"] == "unknown_method"
    assert broker.ask("status")["error"]["code"] == "unknown_method"


# The backend ---------------------------------------------------------------------------


def test_garbage_on_the_backend_is_answered_resync_and_the_worker_next_door_works_on(
    broker: RunningBroker,
) -> None:
    garbage = [
        [b"\x01"],
        [b"\x01", b"\xc1"],
        [b"\xee", b"\x80"],
        [b"", b""],
        [b"\x01", msgpack.packb({"version": 1})],
        [b"\x02", b"\xdd\xff\xff\xff\xff"],
        [b"\x02", b"\x91" * 5000],
        [b"x"] * 50,
        [b"\x03", msgpack.packb([1, 0])],
    ]
    with broker.socket(zmq.DEALER, "backend") as stranger:
        for frames in garbage:
            stranger.send_multipart(frames)
            assert isinstance(wire.decode_from_broker(receive(stranger)), wire.Resync)
    still_serves(broker)
    assert broker.admin("status")["workers"] == 1


def hello(label: str, *methods: wire.Method, slots: int = 1) -> wire.Hello:
    return wire.Hello(
        version=wire.VERSION,
        label=label,
        instance=f"instance of {label}",
        session=1,
        pid=1,
        slots=slots,
        ahead=0,
        offers=[wire.Offer("agent", list(methods))],
    )


def test_forged_results_on_the_backend_answer_nobody() -> None:
    with (
        RunningBroker() as broker,
        broker.socket(zmq.DEALER, "backend") as liar,
        broker.socket(zmq.REQ) as client,
    ):
        liar.send_multipart(wire.encode(hello("liar", wire.Method(name="lie"), slots=0)))
        assert isinstance(wire.decode_from_broker(receive(liar)), wire.Welcome)
        client.send(b'{"method": "lie"}')
        results = [wire.Result(n, 1, "", 1, b"{}") for n in range(100)]
        liar.send_multipart(wire.encode(wire.Results(1, 0, 0, results)))
        heard: list[type[Any]] = []
        while wire.Ack not in heard:
            heard.append(type(wire.decode_from_broker(receive(liar))))
        assert broker.counter("late_results") == 100
        assert not client.poll(100)


# Those who do not read -----------------------------------------------------------------


def test_a_client_that_does_not_read_holds_up_nobody(broker: RunningBroker) -> None:
    with broker.socket(zmq.DEALER, RCVHWM=1, RCVBUF=8192, SNDHWM=0) as deaf:
        body = b'{"method": "echo", "data": "%s"}' % (b"x" * 50_000)
        # Less than the share of one client in what may wait.
        for _ in range(600):
            deaf.send_multipart([b"", body])
        for number in range(20):
            assert broker.ask("echo", data=number)["result"] == number
        broker.eventually(lambda: broker.admin("status")["queued"] == 0, "all is answered")
        got = 0
        while got < 600 and deaf.poll(round(PATIENCE * 1000)):
            deaf.recv_multipart()
            got += 1
        assert got == 600
    still_serves(broker)


def test_a_reply_whose_client_has_left_is_counted() -> None:
    with RunningBroker() as broker, ScriptedWorker(broker.backend) as worker:
        with broker.socket(zmq.DEALER) as client:
            client.send_multipart([b"", b'{"method": "hold"}'])
            broker.eventually(lambda: worker.held, "it runs")
        time.sleep(0.2)
        worker.finish()
        broker.eventually(lambda: broker.counter("undeliverable") == 1, "it is counted")
        assert broker.ask("echo", data=1)["result"] == 1


#: More than ZeroMQ holds for one client.
MANY_REPLIES = 700


def _slow_reader(broker: RunningBroker, count: int) -> zmq.Socket[bytes]:
    """A client that has ``count`` answers of 50 kB to come, and reads none yet."""
    slow = broker.socket(zmq.DEALER, RCVHWM=1, RCVBUF=4096)
    body = b'{"method": "echo", "data": "%s"}' % (b"x" * 50_000)
    for _ in range(count):
        slow.send_multipart([b"", body])
    served = broker.server._core.counters
    broker.eventually(lambda: served.replies >= count, "all is answered")
    assert broker.admin("status")["usage"]["unsent_bytes"]["frontend"]
    return slow


def test_a_drain_waits_until_replies_are_taken() -> None:
    """What waited for a slow client was lost with the broker."""
    with RunningBroker() as broker, ScriptedWorker(broker.backend):
        with _slow_reader(broker, MANY_REPLIES) as slow:
            broker.server.drain()
            time.sleep(1.0)
            got = 0
            while got < MANY_REPLIES and slow.poll(round(PATIENCE * 1000)):
                slow.recv_multipart()
                got += 1
            assert got == MANY_REPLIES
            assert broker.ended()
        assert broker.server._core.counters.undeliverable == 0


def test_a_drain_does_not_wait_for_ever_and_says_what_is_lost(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with RunningBroker(drain_ms=1500) as broker, ScriptedWorker(broker.backend):
        with _slow_reader(broker, MANY_REPLIES):
            broker.server.drain()
            assert broker.ended()
        lost = broker.server._core.counters.undeliverable
        assert 0 < lost <= MANY_REPLIES
    assert f"{lost} replies are lost" in caplog.text


# Plain workers -------------------------------------------------------------------------


def test_a_plain_rep_worker_is_asked_and_answers() -> None:
    with RunningBroker() as broker, broker.socket(zmq.REP, "plain") as rep:
        broker.eventually(lambda: broker.admin("status")["plain_workers"] == 1, "it connects")
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.append(broker.ask("any.thing", x=1)))
        asking.start()
        assert decode_object(receive(rep)[0]) == {"method": "any.thing", "x": 1}
        rep.send(b'{"plain": true}')
        asking.join(PATIENCE)
        assert answers == [{"plain": True}]


def test_when_the_last_plain_worker_has_left_its_methods_are_unknown() -> None:
    with RunningBroker() as broker:
        with broker.socket(zmq.REP, "plain"):
            broker.eventually(lambda: broker.admin("status")["plain_workers"] == 1, "it comes")
        broker.eventually(lambda: broker.admin("status")["plain_workers"] == 0, "it leaves")
        assert broker.ask("any.thing")["error"]["code"] == "unknown_method"


def test_nonsense_from_a_plain_worker_harms_nobody() -> None:
    with RunningBroker() as broker, broker.socket(zmq.DEALER, "plain") as odd:
        broker.eventually(lambda: broker.admin("status")["plain_workers"] == 1, "it connects")
        for frames in ([b"x"], [b"", b""], [b"a", b"b", b"c"], [b"t", b"", b"{}"], [b"x"] * 40):
            odd.send_multipart(frames)
        broker.eventually(lambda: broker.counter("garbled") == 4, "it is counted")
        assert broker.counter("late_results") == 1


# Workers that die ----------------------------------------------------------------------


def test_the_death_of_one_worker_costs_no_request_that_may_run_twice() -> None:
    with RunningBroker() as broker:
        safe = [wire.Offer("t", [wire.Method(name="hold", retry_safe=True)])]
        one = ScriptedWorker(broker.backend, *safe, name="1", slots=4, ahead=8)
        with one, broker.socket(zmq.DEALER) as client:
            for number in range(12):
                client.send_multipart([b"%d" % number, b"", b'{"method": "hold"}'])
            broker.eventually(lambda: len(one.held) == 12, "it holds all")
            one.end()
            with ScriptedWorker(broker.backend, *safe, name="2", slots=4) as two:
                two.finish()
                got = {receive(client)[0] for _ in range(12)}
        assert got == {b"%d" % number for number in range(12)}


def test_workers_live_on_and_come_and_serve_while_nobody_asks() -> None:
    quick = {"heartbeat_ms": 300, "liveness_ms": 1000}
    with RunningBroker(**quick) as broker, ScriptedWorker(broker.backend) as worker:
        assert broker.ask("echo", data=1)["result"] == 1
        time.sleep(1.5)
        with ScriptedWorker(broker.backend, name="late"):
            assert len(broker.admin("workers")) == 2
            time.sleep(1.5)
            assert broker.ask("echo", data=2)["result"] == 2
        assert broker.server._core.counters.lost_workers <= 1
        assert worker.got


def test_what_was_taken_from_the_socket_is_answered_at_the_end() -> None:
    """Of a flood of batches some were read in a later turn, which never came."""
    server = BrokerServer(settings(grace_ms=1))
    try:
        flood = join_requests([b'{"method": "echo"}'] * 1000, Encoding.JSON)
        server._inbox.messages.extend([Message([b"\0peer", b"tag", b"", flood], False)] * 3)
        server._stopped = True
        server.run()
        assert server._core.counters.requests == server._core.counters.replies == 3000
    finally:
        server.close()


def test_what_was_given_to_a_worker_is_sent_before_it_is_told_to_end() -> None:
    """It had left when the tasks arrived that the round had given to it, and they were lost."""
    server = BrokerServer(settings(grace_ms=1))
    sent: list[bytes] = []
    try:
        server._doors.backend_outbox.send = (  # type: ignore[method-assign]
            lambda frames: sent.append(frames[1]) or Sent.DONE  # type: ignore[func-returns-value]
        )
        instance = "instance of ghost"
        server._feed(WorkerSays(b"ghost", hello("ghost", wire.Method(name="hold"))))
        body = b'{"method": "hold"}'
        events = [Request((b"client", b""), body, parse_head(body)), WorkersToLeave([instance])]
        server._feed_all(events)
        assert [wire.Command(frame[0]).name for frame in sent] == ["WELCOME", "TASKS", "SHUTDOWN"]
    finally:
        server.close()


def test_what_a_dead_worker_cannot_be_sent_is_not_lost() -> None:
    """A request that may not run twice was lost with a worker that it never reached."""
    server = BrokerServer(settings(grace_ms=1))
    try:
        ghost = hello("ghost", wire.Method(name="hold"))
        server._feed(WorkerSays(b"ghost", ghost))
        body = b'{"method": "hold"}'
        server._feed(Request((b"client", b""), body, parse_head(body)))
        server._send_packs()
        assert len(server._core.roster.workers["instance of ghost"].tasks) == 1
        server.gone_workers(set())
        server.gone_workers(set())
        assert not server._core.roster.workers
        assert server._core.counters.worker_lost == 0
        assert server._core.dispatcher.queued == 1
    finally:
        server.close()


# Its end -------------------------------------------------------------------------------


def test_an_address_in_use_is_said_to_be_and_leaves_nothing_open(broker: RunningBroker) -> None:
    taken = broker.server.endpoints["frontend"]
    with pytest.raises(ConfigError, match="is in use"):
        BrokerServer(settings(frontend=taken))
    still_serves(broker)


def test_shutdown_finishes_what_runs() -> None:
    with (
        RunningBroker() as broker,
        ScriptedWorker(broker.backend) as worker,
        broker.socket(zmq.REQ) as running,
        broker.socket(zmq.REQ) as late,
    ):
        running.send(b'{"method": "hold"}')
        broker.eventually(lambda: worker.held, "it runs")
        assert broker.admin("shutdown") == {"draining": True, "running": 1}
        late.send(b'{"method": "hold"}')
        assert decode_object(receive(late)[0])["error"]["code"] == "shutting_down"
        worker.finish()
        assert decode_object(receive(running)[0])["success"] == 0
        assert broker.ended()


_RUN = """
import logging, sys
from vpoller_like.broker import run_broker
from vpoller_like.config import BrokerSettings
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
doors = dict.fromkeys(("frontend", "backend", "plain", "admin"), "tcp://127.0.0.1:*")
sys.exit(run_broker(BrokerSettings(grace_ms=1, **doors)))
"""


class BrokerProcess:
    """A broker in a process of its own, to be sent signals."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _RUN],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": os.getcwd()},
        )
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        assert self._process.stdout is not None
        ready = self._process.stdout.readline()
        assert ready.startswith("ready: "), ready
        doors = ready.removeprefix("ready: ").strip().split(", ")
        self.endpoints = dict(door.split(" ") for door in doors)

    def socket(self, kind: int) -> zmq.Socket[bytes]:
        socket = self.context.socket(kind)
        socket.set(zmq.LINGER, 0)
        socket.connect(self.endpoints["frontend"])
        return socket

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def code(self) -> int:
        return self._process.wait(PATIENCE)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def close(self) -> None:
        if self.running:
            self._process.kill()
        self._process.wait(PATIENCE)
        assert self._process.stdout is not None
        self._process.stdout.close()
        self.context.destroy(0)


@pytest.fixture
def process() -> Iterator[BrokerProcess]:
    process = BrokerProcess()
    yield process
    process.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_broker_ends_on_a_signal(process: BrokerProcess, number: int) -> None:
    process.signal(number)
    assert process.code() == 0


@contextlib.contextmanager
def busy(process: BrokerProcess) -> Iterator[tuple[ScriptedWorker, zmq.Socket[bytes]]]:
    """The broker with a worker that holds one task, and the client that waits for it."""
    with (
        ScriptedWorker(process.endpoints["backend"]) as worker,
        process.socket(zmq.DEALER) as client,
    ):
        client.send_multipart([b"runs", b"", b'{"method": "hold"}'])
        deadline = time.monotonic() + PATIENCE
        while not worker.held:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield worker, client


def test_a_busy_broker_finishes_on_sigterm_and_refuses_what_is_new(
    process: BrokerProcess,
) -> None:
    with busy(process) as (worker, client):
        process.signal(signal.SIGTERM)
        code = ""
        while code != "shutting_down":
            client.send_multipart([b"late", b"", b'{"method": "no.such"}'])
            code = decode_object(receive(client)[2])["error"]["code"]
        assert process.running
        worker.finish()
        mark, _, body = receive(client)
        assert mark == b"runs"
        assert decode_object(body)["success"] == 0
        assert process.code() == 0


def test_a_busy_broker_ends_at_once_on_the_second_sigterm_and_answers_what_is_left(
    process: BrokerProcess,
) -> None:
    with busy(process) as (_, client):
        process.signal(signal.SIGTERM)
        time.sleep(0.3)
        assert process.running
        process.signal(signal.SIGTERM)
        mark, _, body = receive(client)
        assert mark == b"runs"
        assert decode_object(body)["error"]["code"] == "worker_lost"
        assert process.code() == 0


def test_a_broker_that_ends_at_once_can_be_told_to_from_another_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with RunningBroker() as broker:
        wake = broker.server._waker.wake

        def wake_slowly() -> None:
            # The loop has the time to end, and to close what it is woken by.
            time.sleep(0.3)
            wake()

        monkeypatch.setattr(broker.server._waker, "wake", wake_slowly)
        broker.server.stop()
        assert broker.ended()
