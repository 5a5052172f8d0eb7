"""A hostile broker beside an honest one: workers and clients live, and the honest one is served."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path

from tests.support.decoders import Replies
from tests.support.fake_backend import FakeBackend
from tests.support.fake_broker import Seen, fake_broker
from tests.support.hostile_broker import HostileBackend, HostileListener
from tests.support.running_worker import RunningWorker, eventually
from vpoller_like.client import VPollerClient
from vpoller_like.protocol import worker as wire

SEED = 20261122


def quick_result(honest: FakeBackend, peer: bytes) -> wire.Result:
    """Return the result of a task, given again when it is given back: others run before it."""
    task = honest.task("tally.quick")
    honest.give(peer, task)
    for _ in range(200):
        found = [said for _, said in honest.heard if isinstance(said, wire.Results)]
        if found:
            return honest.results(1)[0]
        if any(isinstance(said, wire.Return) for _, said in honest.heard):
            honest.heard.clear()
            honest.give(peer, task)
        honest.listen(0.1)
    raise AssertionError("neither a result nor a task given back for 20 s")


def test_a_worker_serves_an_honest_broker_beside_two_hostile_ones(tmp_path: Path) -> None:
    with (
        HostileListener(SEED) as listener,
        HostileBackend(SEED) as hostile,
        FakeBackend() as honest,
        RunningWorker(tmp_path, listener.endpoint, hostile.endpoint, honest.endpoint) as worker,
    ):
        peer, hello = honest.expect_from(wire.Hello)
        for _ in range(20):
            assert json.loads(quick_result(honest, peer).body)["result"] == hello.pid
            time.sleep(0.05)
        eventually(lambda: hostile.said > 500 and listener.served > 3, "they have done their worst")
        assert json.loads(quick_result(honest, peer).body)["result"] == hello.pid
        assert worker.children() == [hello.pid]


def test_a_client_passes_a_hostile_broker_by() -> None:
    with HostileListener(SEED + 1) as hostile, fake_broker() as honest:
        for number in range(10):
            client = VPollerClient([hostile.endpoint, honest.endpoint], timeout=500, retries=4)
            with client:
                reply = client.run({"method": "m", "number": number})
            assert (reply["success"], reply["result"]) == (0, {"number": number})


def test_a_client_with_only_a_hostile_broker_says_so_in_time() -> None:
    with HostileListener(SEED + 2) as hostile:
        for _ in range(5):
            start = time.monotonic()
            with VPollerClient(hostile.endpoint, timeout=100, retries=2) as client:
                reply = client.run({"method": "m"})
            assert reply["success"] == 1
            assert time.monotonic() - start < 10


def test_whatever_body_a_broker_answers_with_the_client_returns_an_envelope() -> None:
    rng, replies = random.Random(SEED), Replies()

    def spoiled(seen: Seen) -> bytes:
        (body,) = replies.draw(rng)
        return body.replace(b'"id":"x"', b'"id":"%b"' % seen.meta["id"].encode())

    with (
        fake_broker(spoiled) as hostile,
        VPollerClient(hostile.endpoint, timeout=20, retries=2) as client,
    ):
        for _ in range(150):
            reply = client.run({"method": "m"})
            assert reply["success"] in (0, 1)
        assert len(hostile.requests) >= 150
