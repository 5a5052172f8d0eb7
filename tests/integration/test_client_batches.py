"""What a map sends at one moment goes as one message; each request lives on its own."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from collections.abc import Callable
from typing import Any

import pytest
import zmq

from tests.support.fake_broker import (
    Crash,
    Later,
    Seen,
    Silence,
    echo,
    failure,
    fake_broker,
    success,
)
from vpoller_like.client import AsyncVPollerClient, VPollerClient
from vpoller_like.transport.message import Message
from vpoller_like.transport.requester import Channel


def numbers(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"method": "echo", "n": n, **more} for n in range(count)]


def expected(count: int) -> list[Any]:
    return [{"n": n} for n in range(count)]


def results(client: VPollerClient, count: int, window: int = 64) -> list[Any]:
    return [envelope.get("result") for envelope in client.map(numbers(count), window)]


def codes(client: VPollerClient, count: int) -> list[Any]:
    return [envelope.get("error", {}).get("code") for envelope in client.map(numbers(count))]


# What is sent --------------------------------------------------------------------------


def test_requests_that_are_there_at_once_share_a_message() -> None:
    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        assert results(client, 1000, 500) == expected(1000)
        assert len(broker.requests) == 1000
        assert len(broker.sizes) < 500


def test_a_single_request_goes_as_it_always_did() -> None:
    with fake_broker(most=0) as broker, VPollerClient(broker.endpoint) as client:
        assert results(client, 5, window=1) == expected(5)
        assert broker.sizes == [1] * 5


def test_each_request_of_a_batch_has_its_own_id_age_and_deadline() -> None:
    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        assert results(client, 100) == expected(100)
        assert max(broker.sizes) > 1
        assert len(set(broker.ids)) == 100
        assert {seen.meta["age_ms"] for seen in broker.requests} == {0}
        assert all(8000 <= seen.meta["deadline_ms"] <= 8750 for seen in broker.requests)


def test_a_message_holds_256_requests_at_most() -> None:
    def slow(seen: Seen) -> Any:
        return Later(0.3, echo(seen))

    with fake_broker(slow) as broker, VPollerClient(broker.endpoint, 20_000) as client:
        assert results(client, 2000, window=2000) == expected(2000)
        assert max(broker.sizes) == 256


@pytest.mark.parametrize(("max_request", "size"), [(1 << 20, 30_000), (40_000, 15_000)])
def test_a_message_stays_below_its_sizes(max_request: int, size: int) -> None:
    allowed = min(256 << 10, max_request)
    with (
        fake_broker() as broker,
        VPollerClient(broker.endpoint, 20_000, max_request=max_request) as client,
    ):
        data = "x" * size
        assert all(e["success"] == 0 for e in client.map(numbers(60, data=data), 60))
        assert allowed // 2 < max(broker.sizes) * size < allowed


def test_a_request_larger_than_a_pack_goes_alone() -> None:
    messages = [*numbers(3), {"method": "echo", "n": 3, "data": "x" * 300_000}, *numbers(3)]
    with fake_broker() as broker, VPollerClient(broker.endpoint, 20_000) as client:
        envelopes = list(client.map(messages, 7))
        assert [envelope["result"]["n"] for envelope in envelopes] == [0, 1, 2, 3, 0, 1, 2]


# What comes back -----------------------------------------------------------------------


def test_packs_in_any_order_and_of_any_size_reach_their_requests() -> None:
    def shuffled(seen: Seen) -> Any:
        return Later(random.Random(seen.count).random() / 20, echo(seen))

    with fake_broker(shuffled) as broker, VPollerClient(broker.endpoint, 20_000) as client:
        assert results(client, 500, 100) == expected(500)


Packs = Callable[[list[Seen]], list[bytes]]


def pairs(requests: list[Seen]) -> list[list[Any]]:
    return [[index, echo(seen)] for index, seen in enumerate(requests)]


def written(*packs: Any) -> list[bytes]:
    return [json.dumps(pack).encode() for pack in packs]


def at_once(pack: Callable[[list[list[Any]]], list[bytes]]) -> Packs:
    """Answer each batch with what ``pack`` makes of the honest pairs."""
    return lambda requests: pack(pairs(requests))


def served(packs: Packs, count: int = 100, timeout: float = 400) -> list[Any]:
    """Return the results of a map that a broker with these packs answers."""
    with fake_broker(packs=packs) as broker, VPollerClient(broker.endpoint, timeout, 3) as client:
        got = results(client, count)
        assert max(broker.sizes) > 1
        return got


def test_one_pack_may_answer_all_in_any_order() -> None:
    assert served(at_once(lambda honest: written(honest[::-1]))) == expected(100)


def test_the_first_of_two_replies_to_one_request_counts() -> None:
    def twice(honest: list[list[Any]]) -> list[bytes]:
        others = [[index, success("other")] for index, _ in honest]
        return written(honest + others, others)

    assert served(at_once(twice)) == expected(100)


@pytest.mark.parametrize("index", [10_000, 1 << 40, -1, 0.5, "0", None, True, [0]])
def test_a_reply_for_a_place_that_is_not_there_is_passed_over(index: Any) -> None:
    odd = [index, success("odd")]
    assert served(at_once(lambda honest: written([odd], honest))) == expected(100)


@pytest.mark.parametrize(
    "pack",
    [b"[", b"[[", b"[[0]]", b"[1,2]", b"[[0,{}]", b"[" * 100_000, b"\xdd\xff\xff\xff\xff", b"[]"],
)
def test_a_pack_that_is_none_is_passed_over(pack: bytes) -> None:
    assert served(at_once(lambda honest: [pack, *written(honest)])) == expected(100)


def test_who_gets_no_answer_from_a_spoiled_pack_is_asked_again_with_his_id() -> None:
    spoiled: list[list[Seen]] = []

    def packs(requests: list[Seen]) -> list[bytes]:
        if spoiled:
            return written(pairs(requests))
        spoiled.append(requests)
        return [b"[[0,"]

    with fake_broker(packs=packs) as broker, VPollerClient(broker.endpoint, 300, 3) as client:
        assert results(client, 20) == expected(20)
        (lost,) = spoiled
        again = {seen.meta["id"]: seen for seen in broker.requests if seen.meta["age_ms"]}
        assert again.keys() == {seen.meta["id"] for seen in lost}


def test_a_reply_that_cannot_be_read_spoils_no_other() -> None:
    def packs(requests: list[Seen]) -> list[bytes]:
        parts = [b"[%d,%b]" % (i, json.dumps(echo(s)).encode()) for i, s in enumerate(requests)]
        parts[0] = b'[0,{"success":0,"msg":"\xff"}]'
        return [b"[" + b",".join(parts) + b"]"]

    with fake_broker(packs=packs) as broker, VPollerClient(broker.endpoint, 5000) as client:
        envelopes = list(client.map(numbers(50)))
        batches = sum(size > 1 for size in broker.sizes)
    malformed = [e for e in envelopes if e["success"]]
    assert len(malformed) == batches
    assert {e["error"]["reason"] for e in malformed} == {"malformed_reply"}


@pytest.mark.parametrize("reply", [7, None, [], {}, {"success": 2}, "x"])
def test_a_reply_in_a_pack_that_is_no_envelope_fails_alone(reply: Any) -> None:
    def packs(requests: list[Seen]) -> list[bytes]:
        return written([[0, reply], *pairs(requests)[1:]])

    with fake_broker(packs=packs) as broker, VPollerClient(broker.endpoint, 5000) as client:
        envelopes = list(client.map(numbers(50)))
        batches = sum(size > 1 for size in broker.sizes)
    malformed = [e["error"] for e in envelopes if e["success"]]
    assert len(malformed) == batches
    assert malformed[0]["reason"] == "malformed_reply"
    assert json.loads(malformed[0]["reply"]) == reply


def test_a_reply_at_anothers_place_is_known_by_its_id() -> None:
    def exchanged(honest: list[list[Any]]) -> list[bytes]:
        wrong = [[index, reply] for (index, _), (_, reply) in itertools.pairwise(honest)]
        return written(wrong, honest)

    assert served(at_once(exchanged)) == expected(100)


def test_no_two_envelopes_share_what_they_hold() -> None:
    whole = failure("unauthorized", "not for you", hint=[])
    with (
        fake_broker(packs=lambda _: written(whole)) as broker,
        VPollerClient(broker.endpoint) as client,
    ):
        envelopes = [e for e in client.map(numbers(50)) if e["success"]]
    envelopes[0]["error"]["hint"].append(1)
    assert envelopes[1]["error"]["hint"] == []


# A batch answered as a whole -----------------------------------------------------------


def test_a_whole_batch_that_is_refused_for_now_is_asked_again() -> None:
    refused: list[int] = []

    def packs(requests: list[Seen]) -> list[bytes]:
        if len(refused) < 3:
            refused.append(len(requests))
            return written(failure("busy", retryable=True, retry_after_ms=20))
        return written(pairs(requests))

    with fake_broker(packs=packs) as broker, VPollerClient(broker.endpoint) as client:
        assert results(client, 100) == expected(100)
        assert {seen.meta["age_ms"] for seen in broker.requests} == {0}


def test_an_error_for_the_whole_batch_is_each_requests_own() -> None:
    refusal = failure("unauthorized", "not for you")
    with (
        fake_broker(packs=lambda _: written(refusal)) as broker,
        VPollerClient(broker.endpoint) as client,
    ):
        told = codes(client, 50)
        assert told.count(None) == broker.sizes.count(1)
        assert told.count("unauthorized") == 50 - broker.sizes.count(1)


def test_what_is_no_reply_to_the_whole_batch_is_each_requests_own() -> None:
    with (
        fake_broker(packs=lambda _: [b"helper"]) as broker,
        VPollerClient(broker.endpoint) as client,
    ):
        told = codes(client, 50)
    assert set(told) - {None} == {"task_failed"}


@pytest.mark.parametrize("most", [0, 1, 2, 10, 100])
def test_a_broker_that_takes_fewer_at_once_is_sent_fewer(most: int) -> None:
    with fake_broker(most=most) as broker, VPollerClient(broker.endpoint) as client:
        assert results(client, 300, 300) == expected(300)
        assert len(broker.requests) == 300
        refused = [size for size in broker.sizes if size > max(1, most)]
        taken = [size for size in broker.sizes if size <= max(1, most)]
        assert 0 < len(refused) <= 9
        assert max(taken) == max(1, most)


@pytest.mark.parametrize("limit", [5000, None, "5000", True, -1, 1 << 40])
def test_a_broker_that_takes_fewer_bytes_at_once_is_sent_fewer(limit: Any) -> None:
    def packs(requests: list[Seen]) -> list[bytes]:
        if len(json.dumps([seen.fields for seen in requests], separators=(",", ":"))) > 5000:
            return written(failure("too_large", limit=limit))
        return written(pairs(requests))

    with fake_broker(packs=packs) as broker, VPollerClient(broker.endpoint) as client:
        assert results(client, 300, 300) == expected(300)
        assert (max(broker.sizes[-3:]) > 1) is (limit == 5000)


def test_a_broker_that_calls_every_message_bad_is_believed() -> None:
    script = failure("bad_request", "never")
    with fake_broker(lambda _: script, most=0) as broker, VPollerClient(broker.endpoint) as client:
        assert codes(client, 100) == ["bad_request"] * 100


# Tries ---------------------------------------------------------------------------------


def test_a_lost_connection_loses_no_request_of_a_batch() -> None:
    crashes: list[int] = []

    def script(seen: Seen) -> Any:
        if seen.count in (100, 400):
            crashes.append(seen.count)
            return Crash(back_after=0.05)
        return Later(0.05, echo(seen))

    with fake_broker(script) as broker, VPollerClient(broker.endpoint, 20_000, 4) as client:
        began = time.monotonic()
        assert results(client, 600, 200) == expected(600)
        # All are sent again at once, rather than when their time is over.
        assert time.monotonic() - began < 15
        assert crashes == [100, 400]
        again = [seen for seen in broker.requests if seen.meta["age_ms"] > 0]
        assert len(again) > 1
        assert {seen.meta["id"] for seen in again} < set(broker.ids)


def test_one_of_a_batch_that_is_never_answered_is_tried_alone() -> None:
    def script(seen: Seen) -> Any:
        return Silence() if seen.params["n"] == 40 else echo(seen)

    with fake_broker(script) as broker, VPollerClient(broker.endpoint, 200, 3) as client:
        told = codes(client, 60)
        assert [n for n, code in enumerate(told) if code] == [40]
        assert told[40] == "timeout"
        tries = [seen.meta["age_ms"] for seen in broker.requests if seen.params["n"] == 40]
        assert tries == sorted(tries)
        assert len(tries) == 3


def test_a_batch_moves_to_the_next_broker() -> None:
    def packs(requests: list[Seen]) -> list[bytes]:
        del requests
        return written(failure("shutting_down", retryable=True))

    with (
        fake_broker(packs=packs) as first,
        fake_broker() as second,
        VPollerClient([first.endpoint, second.endpoint], 5000) as client,
    ):
        assert results(client, 100) == expected(100)
        assert not any(seen.meta.get("moved") for seen in second.requests)


def test_a_flood_of_packs_does_not_outlast_the_timeout() -> None:
    stop = time.monotonic() + 20

    def flooding(requests: list[Seen]) -> list[bytes]:
        del requests
        return [b"[[5000,{}]]"] * 20_000

    with fake_broker(packs=flooding) as broker, VPollerClient(broker.endpoint, 300, 1) as client:
        told = codes(client, 10)
    assert "timeout" in told
    assert time.monotonic() < stop


class Flood:
    """In a socket's place: there is always more to read."""

    def receive(self, count: int, max_frames: int, asks_users: bool) -> Any:
        del max_frames, asks_users
        return [Message([b"token", b"", b"{}"], False)] * count, True

    def close(self) -> None:
        pass


def test_a_look_at_the_network_ends_where_there_is_always_more_to_read() -> None:
    with fake_broker() as broker, zmq.Context() as context:
        channel = Channel(context, broker.endpoint)
        channel._burst = Flood()
        channel.look = lambda: True  # type: ignore[method-assign]
        assert 100 < len(channel.receive()) < 10_000
        assert channel.has_more
        channel.close()


def test_what_is_left_to_read_is_not_waited_for() -> None:
    with (
        fake_broker(lambda _: Silence()) as broker,
        VPollerClient(broker.endpoint) as client,
        client._flight() as flight,
    ):
        flight.launch(0, {"method": "x"})
        flight.turn()
        assert flight.patience() > 0
        (lane,) = flight._lanes
        lane.channel.has_more = True
        assert flight.patience() == 0


# asyncio -------------------------------------------------------------------------------


def test_a_map_in_asyncio_sends_batches_too() -> None:
    async def main(endpoint: str) -> list[Any]:
        async with AsyncVPollerClient(endpoint, 20_000) as client:
            return [envelope["result"] async for envelope in client.map(numbers(500), 250)]

    with fake_broker() as broker:
        assert asyncio.run(main(broker.endpoint)) == expected(500)
        assert len(broker.sizes) < 250
