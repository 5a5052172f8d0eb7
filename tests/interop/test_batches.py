"""Batches, as any program with a DEALER sends them, at a real broker."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgpack
import pytest
import zmq

from tests.support.fabric import Fabric, eventually
from tests.support.req import Req

HERE = Path(__file__).parent
#: Seconds that a test waits for what should come much sooner.
PATIENCE = 30.0


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric() as fabric:
        fabric.start_worker(processes=1, threads=4, agents="system,probe")
        eventually(lambda: fabric.status()["uptime_s"] > 2.1, "the broker's first seconds pass")
        yield fabric


class Dealer:
    """A DEALER at ``endpoint`` that numbers its batches."""

    def __init__(self, endpoint: str) -> None:
        self._socket: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.DEALER)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.connect(endpoint)
        self._numbers = itertools.count(1)

    def send(self, batch: Any) -> bytes:
        """Send a batch, bytes as they are; return its number."""
        body = batch if isinstance(batch, bytes) else json.dumps(batch).encode()
        number = b"%d" % next(self._numbers)
        self._socket.send_multipart([number, b"", body])
        return number

    def receive(self) -> tuple[bytes, bytes]:
        """Return a batch's number and a body that came for it."""
        assert self._socket.poll(round(PATIENCE * 1000)), "nothing came"
        number, empty, body = self._socket.recv_multipart()
        assert empty == b""
        return number, body

    def is_quiet(self, seconds: float = 0.3) -> bool:
        """Say whether nothing comes for so long."""
        return not self._socket.poll(round(seconds * 1000))

    def packs(self, number: bytes, count: int) -> list[bytes]:
        """Return the packs of a batch of ``count`` requests, all of them."""
        packs: list[bytes] = []
        pairs = 0
        while pairs < count:
            got, body = self.receive()
            assert got == number
            packs.append(body)
            pairs += len(_decoded(body))
        assert pairs == count
        return packs

    def ask(self, batch: Any, count: int | None = None) -> list[dict[str, Any]]:
        """Return the replies to a batch by their places; each place is there once."""
        packs = self.packs(self.send(batch), len(batch) if count is None else count)
        pairs = [pair for pack in packs for pair in _decoded(pack)]
        assert sorted(index for index, _ in pairs) == list(range(len(pairs)))
        return [reply for _, reply in sorted(pairs, key=lambda pair: int(pair[0]))]

    def refused(self, batch: Any) -> dict[str, Any]:
        """Return the one plain reply to a batch that is wrong as a whole."""
        number = self.send(batch)
        got, body = self.receive()
        assert got == number
        reply: dict[str, Any] = _decoded(body)
        assert reply["success"] == 1
        assert self.is_quiet(0.05)
        return reply

    def close(self) -> None:
        self._socket.close(0)


def _decoded(body: bytes) -> Any:
    return json.loads(body) if body[:1] in b"[{" else msgpack.unpackb(body)


@pytest.fixture
def dealer(fabric: Fabric) -> Iterator[Dealer]:
    dealer = Dealer(fabric.frontend)
    yield dealer
    dealer.close()


def echo(data: Any, **more: Any) -> dict[str, Any]:
    return {"method": "system.echo", "data": data, **more}


def echoes(count: int) -> list[dict[str, Any]]:
    return [echo(number) for number in range(count)]


def test_the_program_in_the_documents_prints_a_reply_for_each(fabric: Fabric) -> None:
    requests = [json.dumps(request) for request in (echo("ä"), {}, echo(2))]
    done = subprocess.run(
        [sys.executable, str(HERE / "ask_batch.py"), fabric.frontend, *requests],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [reply.get("result") for reply in told] == ["ä", None, 2]
    page = (HERE.parents[1] / "docs" / "howto" / "other-languages.rst").read_text()
    assert done.stdout.splitlines()[1] in page


@pytest.mark.parametrize("count", [1, 2, 999, 1000])
def test_every_request_of_a_batch_gets_its_reply(dealer: Dealer, count: int) -> None:
    assert [reply["result"] for reply in dealer.ask(echoes(count))] == list(range(count))


def test_a_batch_may_be_messagepack(dealer: Dealer) -> None:
    batch = [echo("ä"), echo([1, None]), {"method": 7}]
    number = dealer.send(msgpack.packb(batch))
    packs = dealer.packs(number, 3)
    replies = dict(pair for pack in packs for pair in msgpack.unpackb(pack))
    assert replies[0]["result"] == "ä"
    assert replies[1]["result"] == [1, None]
    assert replies[2]["error"]["code"] == "bad_request"


def test_each_has_its_own_meta_and_host(dealer: Dealer) -> None:
    batch = [
        echo(0, meta={"id": "batch-a", "age_ms": 0}),
        echo(1),
        echo(2, hostname="no.such.host"),
        echo(0, meta={"id": "batch-a", "age_ms": 5}),
        echo(3, meta={"id": "batch-a", "age_ms": 5}),
    ]
    first, second, third, fourth, fifth = dealer.ask(batch)
    assert first["meta"]["id"] == "batch-a"
    assert "meta" not in second
    assert third["error"]["code"] == "unknown_host"
    assert fourth == first
    assert fifth["error"]["code"] == "id_reused"


def test_a_slow_request_holds_up_no_other(dealer: Dealer) -> None:
    number = dealer.send([{"method": "system.sleep", "seconds": 1.5}, *echoes(50)])
    early: set[int] = set()
    began = time.monotonic()
    while len(early) < 50:
        got, body = dealer.receive()
        assert got == number
        early |= {index for index, _ in json.loads(body)}
    assert 0 not in early
    assert time.monotonic() - began < 1.4
    _, body = dealer.receive()
    assert [index for index, _ in json.loads(body)] == [0]


def test_several_batches_may_be_under_way(dealer: Dealer) -> None:
    numbers = {dealer.send(echoes(100)): set(range(100)) for _ in range(20)}
    while any(numbers.values()):
        number, body = dealer.receive()
        for index, reply in json.loads(body):
            assert reply["result"] == index
            numbers[number].remove(index)


def test_packs_of_large_replies_stay_near_256_kib(dealer: Dealer) -> None:
    data = "x" * 100_000
    number = dealer.send([echo(data) for _ in range(9)])
    packs = dealer.packs(number, 9)
    assert len(packs) >= 3
    assert all(len(pack) < (256 << 10) + 101_000 for pack in packs)


def test_what_is_wrong_with_one_is_told_in_its_place(dealer: Dealer) -> None:
    batch = [
        *echoes(2),
        None,
        7,
        "text",
        [],
        [echo(1)],
        {},
        {"method": ""},
        echo(1, meta={"priority": 10}),
        {"method": "no.such.method"},
        echo("last"),
    ]
    told = dealer.ask(batch)
    codes = [reply.get("error", {}).get("code") for reply in told]
    assert codes == [None, None, *["bad_request"] * 8, "unknown_method", None]


def test_a_text_that_is_no_utf8_fails_in_its_place(dealer: Dealer) -> None:
    batch = b'[%b,{"method":"system.echo","data":"\xff"},%b]' % tuple(
        json.dumps(echo(n)).encode() for n in (0, 2)
    )
    told = dealer.ask(batch, 3)
    assert [reply["success"] for reply in told] == [0, 1, 0]


@pytest.mark.parametrize(
    "batch",
    [
        b"[]",
        b" [ ] ",
        b"[",
        b"[{}",
        b"[{}]]",
        b"[" * 300_000,
        b"\x90",
        b"\x92\x80",
        b"\xdd\xff\xff\xff\xff",
        b"\x91" * 300_000,
    ],
)
def test_a_batch_that_cannot_be_read_gets_one_plain_reply(dealer: Dealer, batch: bytes) -> None:
    assert dealer.refused(batch)["error"]["code"] == "bad_request"
    assert dealer.ask(echoes(3))[2]["result"] == 2


@pytest.mark.parametrize("pack", [json.dumps, msgpack.packb])
def test_a_batch_of_too_many_gets_one_plain_reply_that_tells_the_limit(
    dealer: Dealer, pack: Any
) -> None:
    written = pack([{"method": "x"}] * 1001)
    body = written if isinstance(written, bytes) else written.encode()
    error = dealer.refused(body)["error"]
    assert (error["code"], error["limit"]) == ("bad_request", 1000)


def test_a_batch_of_too_many_bytes_gets_one_plain_reply_that_tells_the_limit(
    dealer: Dealer,
) -> None:
    error = dealer.refused([echo("x" * 600_000)] * 2)["error"]
    assert (error["code"], error["limit"]) == ("too_large", 1 << 20)


def test_a_req_socket_gets_one_pack_and_can_go_on(fabric: Fabric) -> None:
    with Req(fabric.frontend) as req:
        for _ in range(3):
            req.send(json.dumps(echoes(1)).encode())
            assert json.loads(req.receive_bytes()) == [[0, ANY_ECHO]]


ANY_ECHO = {"success": 0, "msg": "Successfully echoed the data", "result": 0}


# Replies that are none -----------------------------------------------------------------


@contextmanager
def plain_worker(fabric: Fabric, replies: list[bytes]) -> Iterator[None]:
    """A REP worker that answers requests of ``n`` with the reply of that number."""
    stopping = threading.Event()

    def serve() -> None:
        socket = zmq.Context.instance().socket(zmq.REP)
        socket.linger = 0
        socket.connect(fabric.plain)
        while not stopping.is_set():
            if socket.poll(20):
                socket.send(replies[json.loads(socket.recv())["n"]])
        socket.close(0)

    before = fabric.status()["plain_workers"]
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    eventually(lambda: fabric.status()["plain_workers"] == before + 1, "it is connected")
    try:
        yield
    finally:
        stopping.set()
        thread.join(10)
        eventually(lambda: fabric.status()["plain_workers"] == before, "it is gone")


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize(
    "garbage",
    [
        b"",
        b"helper",
        b'{"success": 0',
        b'{"success":0}],[2,{"success":0,"forged":true}',
        b'{"success":0,"msg":"\xff"}',
        b"\x80",
        b"\x91\x01",
        b"\xff",
    ],
)
def test_what_a_worker_answers_one_spoils_no_other(
    fabric: Fabric, dealer: Dealer, garbage: bytes, first: bool
) -> None:
    good = b'{"success":0,"msg":"fine","result":1}'
    replies = [garbage, good, good] if first else [good, good, garbage]
    with plain_worker(fabric, replies):
        told = dealer.ask([{"method": "plain.some", "n": n} for n in range(3)])
    bad = told.pop(0 if first else 2)
    assert told == [json.loads(good)] * 2
    assert bad["error"]["code"] == "task_failed"
