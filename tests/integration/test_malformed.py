"""Whatever comes in: a clear error where a reply is possible, and no process dies of it."""

from __future__ import annotations

import json
import platform
import socket
from collections.abc import Iterator
from typing import Any

import msgpack
import pytest
import zmq

from tests.support.fabric import Fabric, eventually
from tests.support.req import PATIENCE, Req, ask

NODE_NAME = platform.node()
ECHO = {"method": "system.echo", "data": "still here"}


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric() as fabric:
        fabric.start_worker(processes=2, threads=1, agents="system")
        # Until then methods that nobody serves are waited for.
        eventually(lambda: fabric.status()["uptime_s"] > 2.1, "the broker's first seconds pass")
        yield fabric


@pytest.fixture
def unharmed(fabric: Fabric) -> Iterator[Fabric]:
    """Return the fabric, and see afterwards that the same processes serve the next request."""
    before = (fabric.broker_pid, fabric.worker_pids())
    yield fabric
    for _ in range(4):
        assert ask(fabric.frontend, ECHO)["result"] == "still here"
    assert (fabric.status()["pid"], fabric.worker_pids()) == before


def _text(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


@pytest.mark.parametrize(
    ("body", "code", "words"),
    [
        (b"{}", "bad_request", ["method"]),
        (b'"helper"', "bad_request", ["object"]),
        (b"1", "bad_request", ["object"]),
        (b"null", "bad_request", ["object"]),
        (b"not json", "bad_request", ["JSON"]),
        (b"", "bad_request", ["empty"]),
        (b'{"method": "system.echo", "data": NaN}', "bad_request", []),
        (b'{"method": "system.echo", "data": "\xff\xfe"}', "bad_request", []),
        (b'{"method": "system.echo", "data": "\\ud800"}', "bad_request", []),
        (b'{"method": "system.echo", "data": ' + b"[" * 100_000, "bad_request", []),
        (_text(method=1), "bad_request", ["method", "str"]),
        (_text(method="system.echo", hostname=["a"]), "bad_request", ["hostname"]),
        (_text(method="system.echo", meta="now"), "bad_request", ["meta"]),
        (_text(method="system.echo", meta={"id": ""}), "bad_request", ["meta.id"]),
        (_text(method="system.echo", meta={"priority": 10}), "bad_request", ["meta.priority"]),
        (_text(method="system.echo", data="x" * (2 << 20)), "too_large", ["1048576"]),
        (_text(method="no.such.method"), "unknown_method", ["no.such.method"]),
        (_text(method="system.echo", hostname="no.such"), "unknown_host", ["no.such", NODE_NAME]),
        (_text(method="system.sleep", seconds="long"), "invalid_params", ["seconds"]),
        (_text(method="system.sleep"), "invalid_params", ["seconds", "missing"]),
        (_text(method="system.disk.get", path=7), "invalid_params", ["path"]),
    ],
    ids=lambda value: value[:48].decode("latin-1") if isinstance(value, bytes) else None,
)
def test_it_is_answered_with_an_error_that_says_what_is_wrong(
    unharmed: Fabric, body: bytes, code: str, words: list[str]
) -> None:
    reply = ask(unharmed.frontend, body)
    assert (reply["success"], reply["error"]["code"]) == (1, code)
    assert not [word for word in words if word not in reply["msg"]], reply["msg"]


def test_broken_messagepack_is_answered_in_messagepack(unharmed: Fabric) -> None:
    with Req(unharmed.frontend) as req:
        req.send(b"\x81\xa6method")
        reply = msgpack.unpackb(req.receive_bytes())
    assert reply["error"]["code"] == "bad_request"
    assert "MessagePack" in reply["msg"]


def test_the_admin_endpoint_answers_it_too(unharmed: Fabric) -> None:
    wrong_name = _text(method="methods", name=1)
    for body in (b"{}", b"[]", b"not json", b"", b'{"method": NaN}', wrong_name):
        reply = ask(unharmed.admin, body)
        assert reply["error"]["code"] in ("bad_request", "invalid_params")


def _dealer(endpoint: str) -> zmq.Socket[bytes]:
    dealer: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
    dealer.linger = 0
    dealer.connect(endpoint)
    return dealer


@pytest.fixture
def dealer(fabric: Fabric) -> Iterator[zmq.Socket[bytes]]:
    with _dealer(fabric.frontend) as dealer:
        yield dealer


def _reply(dealer: zmq.Socket[bytes]) -> dict[str, Any]:
    assert dealer.poll(int(PATIENCE * 1000)), "no reply"
    *_, body = dealer.recv_multipart()
    reply: dict[str, Any] = json.loads(body)
    return reply


@pytest.mark.usefixtures("unharmed")
def test_a_message_without_a_delimiter_is_answered(dealer: zmq.Socket[bytes]) -> None:
    dealer.send(json.dumps(ECHO).encode())
    reply = _reply(dealer)
    assert reply["error"]["code"] == "bad_request"
    assert "empty" in reply["msg"]
    # The connection is not out of step.
    dealer.send_multipart([b"", json.dumps(ECHO).encode()])
    assert _reply(dealer)["result"] == "still here"


@pytest.mark.usefixtures("unharmed")
def test_a_hundred_thousand_frames_are_answered_once(dealer: zmq.Socket[bytes]) -> None:
    dealer.send_multipart([b"", *[b"x"] * 100_000])
    assert _reply(dealer)["error"]["code"] == "bad_request"
    dealer.send_multipart([b"", json.dumps(ECHO).encode()])
    assert _reply(dealer)["result"] == "still here"


@pytest.mark.usefixtures("unharmed")
def test_a_hundred_thousand_frames_without_a_delimiter_do_no_harm(
    dealer: zmq.Socket[bytes],
) -> None:
    dealer.send_multipart([b"x"] * 100_000)
    dealer.send_multipart([b"mine", b"", json.dumps(ECHO).encode()])
    replies = [_reply(dealer), _reply(dealer)]
    assert replies[0]["error"]["code"] == "bad_request"
    assert replies[1]["result"] == "still here"


def test_a_message_beyond_every_limit_costs_its_sender_the_connection(unharmed: Fabric) -> None:
    with Req(unharmed.frontend) as req:
        req.send(b"x" * (9 << 20))
        assert not req.arrived(0.5)


@pytest.mark.parametrize("frames", [[b"\x02", b"garbage"], [b""], [b"x"] * 20, [b"\x01", b"\xc0"]])
def test_garbage_at_the_backend_does_no_harm(unharmed: Fabric, frames: list[bytes]) -> None:
    garbled = unharmed.status()["counters"]["garbled"]
    with _dealer(unharmed.backend) as stranger:
        stranger.send_multipart(frames)
        eventually(lambda: unharmed.status()["counters"]["garbled"] == garbled + 1, "it is counted")
        assert stranger.poll(int(PATIENCE * 1000)), "it is not asked to introduce itself"
        assert stranger.recv_multipart()[0] == b"\x86"


@pytest.mark.parametrize("door", ["frontend", "backend", "plain", "admin"])
def test_what_is_no_zeromq_at_all_does_no_harm(unharmed: Fabric, door: str) -> None:
    host, port = getattr(unharmed, door).removeprefix("tcp://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n" * 100)
