"""How many plain workers are connected: by that a method is unknown, or handed on."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
import zmq

from tests.support.fabric import Fabric, eventually
from tests.support.req import ask


@pytest.fixture
def fabric() -> Iterator[Fabric]:
    with Fabric({"grace_ms": 1}) as fabric:
        yield fabric


def _rep(endpoint: str) -> zmq.Socket[bytes]:
    rep: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REP)
    rep.setsockopt(zmq.LINGER, 0)
    rep.connect(endpoint)
    return rep


def _expect(fabric: Fabric, number: int) -> None:
    eventually(lambda: fabric.status()["plain_workers"] == number, f"{number} are connected")


def test_each_one_that_comes_and_goes_is_counted(fabric: Fabric) -> None:
    with _rep(fabric.plain):
        _expect(fabric, 1)
        with _rep(fabric.plain), _rep(fabric.plain):
            _expect(fabric, 3)
        _expect(fabric, 1)
    _expect(fabric, 0)
    reply = ask(fabric.frontend, {"method": "text.reverse"})
    assert reply["error"]["code"] == "unknown_method"


def test_what_never_shakes_hands_is_no_worker(fabric: Fabric) -> None:
    host, port = fabric.plain.removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port))), _rep(fabric.plain):
        _expect(fabric, 1)
    _expect(fabric, 0)


def test_a_burst_finds_room_at_idle_workers(fabric: Fabric) -> None:
    with _rep(fabric.plain) as one, _rep(fabric.plain) as two:
        _expect(fabric, 2)
        asking = [_req(fabric.frontend) for _ in range(60)]
        for req in asking:
            req.send(b'{"method": "text.reverse"}')
        for rep in (one, two):
            for _ in range(30):
                assert rep.poll(10_000), "a request was refused"
                rep.send(rep.recv())
        assert [req.recv() for req in asking] == [b'{"method": "text.reverse"}'] * 60
        for req in asking:
            req.close()


def _req(endpoint: str) -> zmq.Socket[bytes]:
    req: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.REQ)
    req.setsockopt(zmq.LINGER, 0)
    req.setsockopt(zmq.RCVTIMEO, 10_000)
    req.connect(endpoint)
    return req
