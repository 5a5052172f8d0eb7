"""A request by a connection that is there already: quicker, and otherwise the same."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.support.fake_broker import (
    Crash,
    FakeBroker,
    Later,
    Seen,
    Several,
    Silence,
    Verbatim,
    echo,
    failure,
    fake_broker,
    in_turn,
    success,
)
from vpoller_like.client import AsyncVPollerClient, VPollerClient, base, lone

Answers = list[Any]


@contextmanager
def warm(
    *answers: Any, timeout: float = 20_000, retries: int = 3
) -> Iterator[tuple[FakeBroker, VPollerClient]]:
    """Yield a broker that gives these answers, and a client that is connected to it."""
    with (
        fake_broker(in_turn(echo, *(answers or [echo]))) as broker,
        VPollerClient(broker.endpoint, timeout, retries) as client,
    ):
        client.call("hello")
        yield broker, client


def no_flight(*_: object) -> None:
    raise AssertionError("a flight for what goes without")


def stranger(seen: Seen) -> Any:
    wrong = {**success("wrong"), "meta": {"id": "another"}}
    return Several([Verbatim([b"who", b"", b"{}"]), wrong, echo(seen)])


def test_a_success_is_all_that_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    with warm() as (broker, client):
        monkeypatch.setattr(lone, "Flight", no_flight)
        for n in range(5):
            assert client.call("x", n=n) == {"n": n}
        # A correlation token counts a connection's sends.
        assert [seen.envelope[0][-1] for seen in broker.requests] == [1, 2, 3, 4, 5, 6]
        assert len(set(broker.ids)) == 6
        assert {seen.meta["age_ms"] for seen in broker.requests} == {0}


def test_in_asyncio_too(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(endpoint: str) -> list[Any]:
        async with AsyncVPollerClient(endpoint, 20_000) as client:
            await client.call("hello")
            monkeypatch.setattr(lone, "Flight", no_flight)
            return [await client.call("x", n=n) for n in range(5)]

    with fake_broker() as broker:
        assert asyncio.run(use(broker.endpoint)) == [{"n": n} for n in range(5)]


def test_a_reply_that_is_there_at_once_is_not_waited_for() -> None:
    with warm() as (_, client):
        for n in range(200):
            assert client.call("x", n=n) == {"n": n}


@pytest.mark.parametrize(
    ("answers", "tries"),
    [
        ([failure("task_failed", "broken")], 1),
        ([failure("busy", retryable=True, retry_after_ms=50), echo], 2),
        ([failure("shutting_down", retryable=True), echo], 2),
        ([b"junk"], 1),
        ([b"[]"], 1),
        ([b'{"data": 1}'], 1),
        ([{"success": 1, "msg": "no more than that"}], 1),
        ([stranger], 1),
        ([Silence(), echo], 2),
        ([Crash(back_after=0.1), echo], 2),
    ],
)
def test_what_comes_of_it_is_what_comes_of_a_first_request(answers: Answers, tries: int) -> None:
    timeout = 200 if any(isinstance(answer, Silence) for answer in answers) else 20_000
    with warm(*answers, timeout=timeout) as (broker, client):
        later = client.run({"method": "x", "a": 1})
        assert len(broker.requests) == 1 + tries
        assert len(set(broker.ids)) == 2
        metas = [seen.meta for seen in broker.requests[1:]]
    with (
        fake_broker(in_turn(*answers)) as broker,
        VPollerClient(broker.endpoint, timeout) as client,
    ):
        first = client.run({"method": "x", "a": 1})
    assert _same(later) == _same(first)
    assert metas[0]["age_ms"] == 0
    if isinstance(answers[0], Silence | Crash):
        assert metas[1]["age_ms"] > 0


def _same(envelope: dict[str, Any]) -> dict[str, Any]:
    """Return what two envelopes for like requests share: all but ids and endpoints."""
    error = {k: v for k, v in envelope.get("error", {}).items() if k in ("code", "reason")}
    return {"success": envelope["success"], "result": envelope.get("result"), "error": error}


def test_after_trouble_the_connection_is_used_again() -> None:
    with warm(failure("task_failed"), echo) as (broker, client):
        assert client.run({"method": "x"})["success"] == 1
        assert client.call("x", a=1) == {"a": 1}
        assert [seen.envelope[0][-1] for seen in broker.requests] == [1, 2, 3]


def test_silence_ends_after_all_tries() -> None:
    with warm(Silence(), timeout=60) as (broker, client):
        started = time.monotonic()
        envelope = client.run({"method": "x"})
        assert 0.17 <= time.monotonic() - started < 5
        assert envelope["error"]["code"] == "timeout"
        assert envelope["error"]["tries"] == 3
        assert len(broker.requests) == 4


def test_a_connection_that_broke_while_idle_is_not_sent_by() -> None:
    with warm(retries=1) as (broker, client):
        for _ in range(3):
            broker.stop()
            broker.start()
            time.sleep(0.05)  # the end of the old connection is under way
            assert client.call("x", a=1) == {"a": 1}


def test_what_the_caller_says_of_a_request_is_kept() -> None:
    with warm() as (broker, client):
        reply = client.run({"method": "x", "meta": {"id": "mine", "priority": 9}})
        assert reply["meta"]["id"] == "mine"
        assert broker.requests[1].meta["priority"] == 9
        assert broker.requests[1].envelope[0][-1] == 2


def test_the_broker_that_answered_last_is_asked() -> None:
    with warm() as (broker, _), fake_broker() as other:
        with VPollerClient([broker.endpoint, other.endpoint]) as client:
            broker.script = in_turn(failure("shutting_down"))
            for n in range(4):
                assert client.call("x", n=n) == {"n": n}
        assert len(broker.requests) == 2
        assert len(other.requests) == 4


def test_a_closed_client_asks_nothing() -> None:
    with warm() as (broker, client):
        client.close()
        with pytest.raises(RuntimeError, match="closed"):
            client.run({"method": "x"})
        with pytest.raises(RuntimeError, match="closed"):
            client.map([])
        assert len(broker.requests) == 1


def test_an_interrupted_request_takes_its_connection_along() -> None:
    def interrupted(_signum: int, _frame: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGALRM, interrupted)
    try:
        with warm(Later(0.3, success("old")), echo) as (broker, client):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            with pytest.raises(KeyboardInterrupt):
                client.run({"method": "x"})
            assert client.call("x", a=1) == {"a": 1}
            assert broker.requests[2].envelope[0][-1] == 1
    finally:
        signal.signal(signal.SIGALRM, previous)


def _cancelled(ask: Callable[[AsyncVPollerClient], Any], *answers: Any) -> list[int]:
    """Cancel a second request, ask a third; return the tokens that the broker saw."""

    async def use(endpoint: str) -> None:
        async with AsyncVPollerClient(endpoint, 20_000) as client:
            await client.call("hello")
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(ask(client), 0.1)
            assert await client.call("x", a=1) == {"a": 1}

    with fake_broker(in_turn(echo, *answers)) as broker:
        asyncio.run(use(broker.endpoint))
        return [seen.envelope[0][-1] for seen in broker.requests]


def test_a_cancelled_request_takes_its_connection_along() -> None:
    assert _cancelled(lambda client: client.call("x"), Silence(), echo) == [1, 2, 1]


def test_large_requests_and_replies_come_through() -> None:
    data = "x" * 900_000
    with warm() as (_, client):
        assert client.call("x", data=data) == {"data": data}
        assert client.run({"method": "x", "data": data * 2})["error"]["code"] == "too_large"
        assert client.call("x", a=1) == {"a": 1}


def test_what_is_written_slowly_says_how_much_time_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """The broker took it that the client waits for as long as if it had been sent at once."""
    with warm(timeout=10_000, retries=1) as (broker, client):
        draft = lone.Draft

        def slowly(*arguments: Any) -> Any:
            time.sleep(0.2)
            return draft(*arguments)

        client.call("quick")
        monkeypatch.setattr(lone, "Draft", slowly)
        client.call("slow")
        *_, quick, slow = (seen.meta["deadline_ms"] for seen in broker.requests)
        assert 190 < quick - slow < 5000


def test_a_client_that_is_closed_while_a_first_call_connects_is_closed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    client = VPollerClient("tcp://127.0.0.1:1", 100, 1)
    made = base.Requester

    def closed_meanwhile(*arguments: Any) -> Any:
        client.close()
        return made(*arguments)

    monkeypatch.setattr(base, "Requester", closed_meanwhile)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="closed"):
            client.run({"method": "x"})


def test_a_channel_may_come_back_while_another_is_looked_for() -> None:
    """The collector closes a map() that was given up, in whichever thread it runs."""
    with warm() as (_, client):
        requester = client._own()
        with requester._lock:
            channel = requester.take_idle(0)
            assert channel is not None
            requester.give_back(0, channel, clean=True)
        assert client.call("x", n=1) == {"n": 1}
