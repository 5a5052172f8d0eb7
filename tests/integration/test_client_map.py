"""Many requests over one connection, in order, each retried on its own."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.fake_broker import (
    Crash,
    Later,
    Seen,
    Silence,
    closed_port,
    echo,
    failure,
    fake_broker,
)
from vpoller_like.client import VPollerClient


def numbers(count: int) -> Iterator[dict[str, Any]]:
    return ({"method": "echo", "n": n} for n in range(count))


def results(client: VPollerClient, count: int, window: int = 64) -> list[Any]:
    return [envelope.get("result") for envelope in client.map(numbers(count), window)]


def expected(count: int) -> list[Any]:
    return [{"n": n} for n in range(count)]


@pytest.mark.parametrize("window", [1, 2, 7, 64, 1000])
def test_envelopes_come_in_the_order_of_the_requests(window: int) -> None:
    def shuffled(seen: Seen) -> Any:
        return Later(random.Random(seen.count).random() / 50, echo(seen))

    with fake_broker(shuffled) as broker, VPollerClient(broker.endpoint, 20_000) as client:
        assert results(client, 100, window) == expected(100)
        assert len(broker.requests) == 100


def test_no_requests_give_no_envelopes() -> None:
    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        assert list(client.map([])) == []
        assert broker.requests == []


def test_no_more_than_the_window_is_unanswered() -> None:
    def slow(seen: Seen) -> Any:
        return Later(0.5, echo(seen))

    with fake_broker(slow) as broker, VPollerClient(broker.endpoint, 20_000) as client:
        assert results(client, 10, window=5) == expected(10)
        first, fifth, sixth = (broker.requests[n].at for n in (0, 4, 5))
    assert fifth - first < 0.5 <= sixth - first


def test_nothing_is_drawn_before_the_first_envelope_is_asked_for() -> None:
    drawn: list[int] = []

    def requests() -> Iterator[dict[str, Any]]:
        drawn.append(1)
        yield {"method": "x"}

    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        stream = client.map(requests())
        assert drawn == []
        assert next(stream)["success"] == 0
        assert drawn == [1]


def test_one_connection_carries_all() -> None:
    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        assert results(client, 200) == expected(200)
        tokens = [seen.envelope[0] for seen in broker.requests]
    # Tokens count one connection's sends.
    assert len(set(tokens)) == len(broker.sizes)


def test_requests_are_drawn_only_as_replies_come() -> None:
    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        drawn = 0

        def endless() -> Iterator[dict[str, Any]]:
            nonlocal drawn
            while True:
                drawn += 1
                yield {"method": "x"}

        stream = client.map(endless(), window=4)
        for _ in range(50):
            next(stream)
        assert 50 <= drawn <= 50 + 4 * 8 + 4
        stream.close()  # type: ignore[attr-defined]


def test_a_slow_task_does_not_hold_up_those_behind_it() -> None:
    def script(seen: Seen) -> Any:
        return Later(1.0, echo(seen)) if seen.params["n"] == 0 else echo(seen)

    with fake_broker(script) as broker, VPollerClient(broker.endpoint, 20_000) as client:
        assert results(client, 30, window=8) == expected(30)
        assert broker.requests[29].at - broker.requests[0].at < 0.9


def test_a_lost_reply_is_asked_for_again_on_its_own() -> None:
    lost: set[int] = set()

    def forgetful(seen: Seen) -> Any:
        n = seen.params["n"]
        if n % 10 == 3 and n not in lost:
            lost.add(n)
            return Silence()
        return echo(seen)

    with fake_broker(forgetful) as broker, VPollerClient(broker.endpoint, 500, 3) as client:
        assert results(client, 50) == expected(50)
        again = [seen for seen in broker.requests if seen.meta["age_ms"] > 0]
        assert len(broker.requests) == 55
        assert sorted(seen.params["n"] for seen in again) == [3, 13, 23, 33, 43]


def test_one_that_is_never_answered_fails_alone() -> None:
    def script(seen: Seen) -> Any:
        return Silence() if seen.params["n"] == 5 else echo(seen)

    with fake_broker(script) as broker, VPollerClient(broker.endpoint, 200, 2) as client:
        envelopes = list(client.map(numbers(20)))
    codes = [envelope.get("error", {}).get("code") for envelope in envelopes]
    assert codes == [None] * 5 + ["timeout"] + [None] * 14


def test_busy_is_retried_on_its_own() -> None:
    refused: set[int] = set()

    def script(seen: Seen) -> Any:
        n = seen.params["n"]
        if n % 3 == 0 and n not in refused:
            refused.add(n)
            return failure("busy", retryable=True, retry_after_ms=20)
        return echo(seen)

    with fake_broker(script) as broker, VPollerClient(broker.endpoint) as client:
        assert results(client, 30) == expected(30)


def test_a_broker_that_restarts_under_a_full_window_loses_nothing() -> None:
    def script(seen: Seen) -> Any:
        return Crash(back_after=0.1) if seen.count in (40, 90) else Later(0.02, echo(seen))

    with fake_broker(script) as broker, VPollerClient(broker.endpoint, 20_000, 4) as client:
        started = time.monotonic()
        assert results(client, 150) == expected(150)
        assert time.monotonic() - started < 15


def test_all_go_to_the_next_endpoint_when_one_dies() -> None:
    def dying(seen: Seen) -> Any:
        return Crash() if seen.count == 30 else Later(0.05, echo(seen))

    with fake_broker(dying) as first, fake_broker() as second:
        endpoints = [first.endpoint, second.endpoint]
        with VPollerClient(endpoints, 5000) as client:
            assert results(client, 200) == expected(200)
            moved = [seen for seen in second.requests if seen.meta.get("moved")]
            assert 0 < len(moved) <= 64


def test_nobody_there_fails_each_in_order() -> None:
    with closed_port() as endpoint, VPollerClient(endpoint, 50, 2) as client:
        codes = [envelope["error"]["code"] for envelope in client.map(numbers(10), window=4)]
    assert codes == ["unreachable"] * 10


def test_bad_requests_fail_alone_and_at_once() -> None:
    def requests() -> Iterator[dict[str, Any]]:
        yield {"method": "x", "a": object()}
        yield {"method": "x", "a": "b" * (2 << 20)}
        yield {"method": "x"}

    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        codes = [e.get("error", {}).get("code") for e in client.map(requests())]
    assert codes == ["bad_request", "too_large", None]


def test_an_error_in_the_callers_generator_reaches_the_caller() -> None:
    def requests() -> Iterator[dict[str, Any]]:
        yield {"method": "x"}
        raise LookupError("no more")

    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        with pytest.raises(LookupError, match="no more"):
            list(client.map(requests()))
        assert client.call("x", a=1) == {"a": 1}


def test_replies_that_came_while_the_caller_was_busy_count() -> None:
    with fake_broker() as broker, VPollerClient(broker.endpoint, 200, 1) as client:
        stream = client.map(numbers(10))
        assert next(stream)["success"] == 0
        time.sleep(0.5)
        assert [envelope["success"] for envelope in stream] == [0] * 9


def test_several_maps_and_calls_may_be_under_way_at_once() -> None:
    with fake_broker() as broker, VPollerClient(broker.endpoint) as client:
        streams = [client.map(numbers(30), window=4) for _ in range(3)]
        for rows in zip(*streams, strict=True):
            assert len({str(row["result"]) for row in rows}) == 1
            assert client.call("x", a=1) == {"a": 1}


@pytest.mark.parametrize("window", [0, -1])
def test_a_window_below_one_is_refused(window: int) -> None:
    with pytest.raises(ValueError, match="window"):
        VPollerClient().map([], window)
