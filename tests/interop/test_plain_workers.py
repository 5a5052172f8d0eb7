"""REP workers in other languages serve methods through the plain backend."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from tests.support import toolchains
from tests.support.fabric import Fabric, eventually
from tests.support.req import Dealer, Req, ask, ask_all

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric({"grace_ms": 100}) as fabric:
        # Served by a worker of ours: such methods never go to the plain ones.
        fabric.start_worker(agents="probe")
        eventually(lambda: fabric.status()["uptime_s"] > 0.2, "methods are not waited for")
        yield fabric


@contextmanager
def _serving(fabric: Fabric, *command: str) -> Iterator[subprocess.Popen[str]]:
    before = fabric.status()["plain_workers"]
    worker = subprocess.Popen(
        [*command, fabric.plain], stdout=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    try:
        eventually(
            lambda: fabric.status()["plain_workers"] == before + 1, "the plain worker is connected"
        )
        yield worker
    finally:
        worker.kill()
        worker.communicate()
        eventually(
            lambda: fabric.status()["plain_workers"] == before, "the plain worker's end is seen"
        )


@contextmanager
def _ruby(fabric: Fabric) -> Iterator[subprocess.Popen[str]]:
    with _serving(fabric, toolchains.ruby(), str(HERE / "serve.rb")) as worker:
        yield worker


@contextmanager
def _c(fabric: Fabric) -> Iterator[subprocess.Popen[str]]:
    with _serving(fabric, toolchains.compiled(HERE / "serve.c")) as worker:
        yield worker


def _reverse(text: str, **more: Any) -> dict[str, Any]:
    return {"method": "text.reverse", "text": text, **more}


def test_a_ruby_worker_serves_a_method(fabric: Fabric) -> None:
    with _ruby(fabric):
        assert ask(fabric.frontend, _reverse("straße")) == {
            "success": 0,
            "msg": "reversed",
            "result": "eßarts",
        }


def test_a_c_worker_gets_the_request_and_gives_the_reply_to_the_letter(fabric: Fabric) -> None:
    body = b'{ "method":\t"size.get",  "x" : [1,2 ,3], "meta": {"id": "letter", "age_ms": 0} }\n'
    with _c(fabric) as worker, Req(fabric.frontend) as req:
        req.send(body)
        reply = req.receive_bytes().decode()
    assert reply == (
        '{ "success" : 0, "msg" : "measured",\n'
        f'  "result" : {{ "pid" : {worker.pid}, "bytes" : {len(body)} }} }}'
    )


def test_many_requests_each_get_their_own_reply(fabric: Fabric) -> None:
    texts = [f"text {number}" for number in range(40)]
    with _ruby(fabric), _ruby(fabric):
        replies = ask_all(fabric.frontend, [_reverse(text) for text in texts])
    assert [reply["result"] for reply in replies] == [text[::-1] for text in texts]


def test_messagepack_is_translated_both_ways(fabric: Fabric) -> None:
    with _ruby(fabric), Req(fabric.frontend) as req:
        req.send(msgpack.packb(_reverse("abc")))
        reply = msgpack.unpackb(req.receive_bytes())
    assert reply == {"success": 0, "msg": "reversed", "result": "cba"}


def test_the_workers_own_error_reaches_the_client(fabric: Fabric) -> None:
    with _ruby(fabric):
        reply = ask(fabric.frontend, {"method": "text.reverse", "text": 1})
    assert reply["error"]["code"] == "invalid_params"
    assert "text" in reply["msg"]


def test_a_retry_with_the_same_id_gets_the_remembered_reply(fabric: Fabric) -> None:
    request = {"method": "size.get", "meta": {"id": "twice", "age_ms": 0}}
    with _c(fabric):
        first = ask(fabric.frontend, request)
        before = fabric.status()["counters"]["plain"]
        assert ask(fabric.frontend, request) == first
        assert fabric.status()["counters"]["plain"] == before


def test_a_method_of_a_registered_worker_is_not_given_to_a_plain_one(fabric: Fabric) -> None:
    with _ruby(fabric):
        reply = ask(fabric.frontend, {"method": "probe.quick"})
    assert reply["result"] in fabric.worker_pids()


def test_without_a_plain_worker_the_method_is_unknown(fabric: Fabric) -> None:
    reply = ask(fabric.frontend, _reverse("abc"))
    assert reply["error"]["code"] == "unknown_method"
    with _ruby(fabric):
        assert ask(fabric.frontend, _reverse("abc"))["success"] == 0
    reply = ask(fabric.frontend, _reverse("abc"))
    assert reply["error"]["code"] == "unknown_method"


def test_a_plain_worker_that_dies_with_a_request_is_a_deadline(fabric: Fabric) -> None:
    begun = time.monotonic()
    with _ruby(fabric) as worker, Req(fabric.frontend) as req:
        asked = fabric.status()["counters"]["plain"]
        req.send(_reverse("abc", seconds=20, meta={"deadline_ms": 1500}))
        eventually(
            lambda: fabric.status()["counters"]["plain"] == asked + 1, "the request is handed on"
        )
        worker.kill()
        reply = req.receive()
    assert reply["error"]["code"] == "deadline"
    assert not reply["error"]["retryable"]
    assert 1.4 < time.monotonic() - begun < 15


def test_a_slow_plain_worker_holds_up_nobody_else(fabric: Fabric) -> None:
    with _ruby(fabric), Req(fabric.frontend) as slow:
        slow.send(_reverse("slow", seconds=2))
        for _ in range(5):
            assert ask(fabric.frontend, {"method": "probe.quick"}, timeout=1.5)["success"] == 0
        assert not slow.arrived()
        assert slow.receive()["result"] == "wols"


def test_more_than_plain_workers_can_take_in_is_busy(fabric: Fabric) -> None:
    full = {"method": "text.reverse", "padding": "x" * 16_000, "meta": {"deadline_ms": 3000}}
    with _idle(fabric), Dealer(fabric.frontend) as dealer:
        replies = dealer.ask_all([full] * 2500)
        # What is for other workers goes on.
        assert ask(fabric.frontend, {"method": "probe.quick"})["success"] == 0
    assert {reply["error"]["code"] for reply in replies} == {"busy", "deadline"}
    busy = next(reply["error"] for reply in replies if reply["error"]["code"] == "busy")
    assert busy["retryable"]
    assert busy["retry_after_ms"] > 0


@contextmanager
def _idle(fabric: Fabric) -> Iterator[None]:
    """Connect a plain worker that never reads."""
    socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REP)
    socket.rcvhwm = 1
    socket.rcvbuf = 65536
    with socket:
        socket.connect(fabric.plain)
        eventually(lambda: fabric.status()["plain_workers"] == 1, "it is connected")
        yield
    eventually(lambda: fabric.status()["plain_workers"] == 0, "its end is seen")
