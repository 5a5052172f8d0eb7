"""A worker in C, written from the protocol's document, keeps to it."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator

import msgpack
import pytest

from tests.bench.compiling import NoCompiler, programs
from tests.support.fabric import Fabric, eventually
from tests.support.fake_backend import FakeBackend
from tests.support.req import Req, ask, ask_all
from tests.support.tools import missing
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.worker import Possession

DONE = {"success": 0, "msg": "Successfully echoed the data"}


@contextlib.contextmanager
def _running(endpoint: str) -> Iterator[subprocess.Popen[bytes]]:
    try:
        program = programs().worker
    except NoCompiler as error:
        missing(str(error))
    process = subprocess.Popen([program, endpoint, "c/0"])
    try:
        yield process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric({"heartbeat_ms": 100, "liveness_ms": 400, "grace_ms": 100}) as fabric:
        yield fabric


@pytest.fixture
def served(fabric: Fabric) -> Iterator[subprocess.Popen[bytes]]:
    with _running(fabric.backend) as process:
        eventually(lambda: process.pid in fabric.worker_pids(), "the worker is registered")
        yield process


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend() as fake:
        yield fake


@pytest.fixture
def worker(backend: FakeBackend) -> Iterator[subprocess.Popen[bytes]]:
    with _running(backend.endpoint) as process:
        yield process


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("data", ["x", 'a "quoted\\" ü', {"a": [1, {"b": None}], "c": "}]"}, -1.5])
def test_it_echoes_in_either_encoding(fabric: Fabric, data: object) -> None:
    request = {"other": [{"data": 1}], "method": "system.echo", "data": data}
    assert ask(fabric.frontend, request) == DONE | {"result": data}
    assert msgpack.unpackb(_ask_packed(fabric, msgpack.packb(request))) == DONE | {"result": data}


def _ask_packed(fabric: Fabric, body: bytes) -> bytes:
    with Req(fabric.frontend) as req:
        req.send(body)
        return req.receive_bytes()


@pytest.mark.usefixtures("served")
def test_it_says_what_is_missing(fabric: Fabric) -> None:
    reply = ask(fabric.frontend, {"method": "system.echo"})
    assert (reply["success"], reply["error"]["code"]) == (1, "invalid_params")


@pytest.mark.usefixtures("served")
def test_many_and_large_requests_each_get_their_own_answer(fabric: Fabric) -> None:
    texts = [f"{number}" * (number * 997 % 50_000 + 1) for number in range(200)]
    requests = [{"method": "system.echo", "data": text} for text in texts]
    assert [reply["result"] for reply in ask_all(fabric.frontend, requests)] == texts


@pytest.mark.usefixtures("worker")
def test_it_shows_that_it_lives(backend: FakeBackend) -> None:
    for _ in range(3):
        assert backend.expect(wire.Heartbeat).slots == 1


def test_it_greets_a_broker_again_that_is_silent(backend: FakeBackend) -> None:
    backend.liveness_ms = 200
    with _running(backend.endpoint):
        first = backend.expect(wire.Hello)
        assert backend.expect(wire.Hello).session == first.session + 1


def test_it_meets_a_broker_that_has_forgotten_it(
    fabric: Fabric, served: subprocess.Popen[bytes]
) -> None:
    fabric.restart_broker()
    eventually(lambda: served.pid in fabric.worker_pids(), "it is registered again")
    assert ask(fabric.frontend, {"method": "system.echo", "data": 7})["result"] == 7


def test_it_drains_when_told_to(fabric: Fabric, served: subprocess.Popen[bytes]) -> None:
    served.send_signal(signal.SIGTERM)
    assert served.wait(10) == 0
    eventually(lambda: served.pid not in fabric.worker_pids(), "it is not known any more")


@pytest.mark.usefixtures("worker")
def test_it_shows_again_what_was_not_acknowledged(backend: FakeBackend) -> None:
    peer, hello = backend.expect_from(wire.Hello)
    backend.acknowledges = False
    backend.give(
        peer, backend.task("system.echo", "name", data=1), backend.task("system.echo", data=2)
    )
    before = backend.expect(wire.Results)
    backend.say(peer, wire.Resync())
    again = backend.expect(wire.Hello)
    assert (again.session, again.instance) == (hello.session + 1, hello.instance)
    assert [(held.task, held.attempt, held.id) for held in again.held] == [
        (1, 1, "name"),
        (2, 1, None),
    ]
    assert backend.expect(wire.Results) == before
    assert before.seq == 1


@pytest.mark.usefixtures("worker")
def test_it_knows_an_id_until_its_result_is_acknowledged(backend: FakeBackend) -> None:
    peer, _ = backend.expect_from(wire.Hello)
    backend.acknowledges = False
    backend.give(peer, backend.task("system.echo", "name", data=1))
    results = backend.expect(wire.Results)
    question = wire.WhoHas(5, "system.echo", "", "name", b"print")
    backend.say(peer, question)
    have = backend.expect(wire.Have)
    assert (have.query, have.state, have.result) == (5, Possession.DONE, results.items[0])
    assert have.held is not None
    assert (have.held.task, have.held.id) == (1, "name")
    backend.say(peer, wire.WhoHas(6, "system.echo", "", "name", b"another"))
    assert backend.expect(wire.Have).state is Possession.OTHER
    backend.say(peer, wire.Ack(results.seq))
    backend.say(peer, question)
    assert backend.expect(wire.Have).state is Possession.NONE


@pytest.mark.usefixtures("worker")
def test_it_drops_what_belongs_to_an_earlier_session(backend: FakeBackend) -> None:
    peer, hello = backend.expect_from(wire.Hello)
    backend.say(peer, wire.Tasks(hello.session + 1, [backend.task("system.echo", data=1)]))
    backend.give(peer, backend.task("system.echo", data=2))
    assert [json.loads(item.body)["result"] for item in backend.results(1)] == [2]


@pytest.mark.usefixtures("worker")
def test_what_is_no_message_does_no_harm(backend: FakeBackend) -> None:
    peer, _ = backend.expect_from(wire.Hello)
    whole = wire.encode(wire.Tasks(backend.sessions[peer], [backend.task("system.echo", data=1)]))
    broken = [(whole[0], whole[1][:length]) for length in range(len(whole[1]))]
    for frames in ([b""], [b"\x82"], [b"\x82", b"\xc1"], [b"x", b"y", b"z"], *broken):
        backend._socket.send_multipart([peer, *frames])
    backend.give(peer, backend.task("system.echo", data=2))
    assert [json.loads(item.body)["result"] for item in backend.results(1)] == [2]


def test_it_gives_back_what_comes_while_it_drains(
    backend: FakeBackend, worker: subprocess.Popen[bytes]
) -> None:
    peer, _ = backend.expect_from(wire.Hello)
    backend.acknowledges = False
    backend.give(peer, backend.task("system.echo", data=1))
    results = backend.expect(wire.Results)
    backend.say(peer, wire.Shutdown())
    backend.expect(wire.Drain)
    backend.give(peer, backend.task("system.echo", data=2))
    returned = backend.expect(wire.Return)
    assert (returned.slots, [(item.task, item.attempt) for item in returned.items]) == (0, [(2, 1)])
    backend.say(peer, wire.Ack(results.seq))
    backend.expect(wire.Bye)
    assert worker.wait(10) == 0
