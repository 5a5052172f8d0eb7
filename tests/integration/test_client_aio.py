"""The asyncio client against a scripted broker, over real sockets."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Awaitable, Callable, Iterator
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
    in_turn,
    silent,
    success,
)
from vpoller_like.client import AsyncVPollerClient, aio
from vpoller_like.client.pipeline import Pipeline
from vpoller_like.errors import InvalidParams, ReplyTimeout, Unreachable


def descriptors() -> int:
    gc.collect()
    return len(os.listdir("/proc/self/fd"))


def numbers(count: int) -> Iterator[dict[str, Any]]:
    return ({"method": "echo", "n": n} for n in range(count))


Use = Callable[[AsyncVPollerClient], Awaitable[Any]]


def using(endpoint: str | list[str], use: Use, *args: Any) -> Any:
    """Run ``use`` with a client in an event loop of its own."""

    async def main() -> Any:
        async with AsyncVPollerClient(endpoint, *args) as client:
            return await use(client)

    return asyncio.run(main())


def test_run_call_and_map_are_those_of_the_other_clients() -> None:
    async def use(client: AsyncVPollerClient) -> None:
        assert (await client.run({"method": "x", "a": 1}))["result"] == {"a": 1}
        assert await client.call("vm.get", "vc01", name="vm01") == {"name": "vm01"}
        rows = [envelope["result"]["n"] async for envelope in client.map(numbers(300))]
        assert rows == list(range(300))

    with fake_broker() as broker:
        using(broker.endpoint, use)


def test_many_tasks_share_one_client() -> None:
    def script(seen: Seen) -> Any:
        return Later(0.01, echo(seen))

    async def use(client: AsyncVPollerClient) -> None:
        results = await asyncio.gather(*(client.call("x", n=n) for n in range(200)))
        assert results == [{"n": n} for n in range(200)]

    with fake_broker(script) as broker:
        using(broker.endpoint, use, 20_000)


def test_errors_are_raised_as_they_are_elsewhere() -> None:
    async def use(client: AsyncVPollerClient) -> None:
        with pytest.raises(InvalidParams, match="wrong"):
            await client.call("x")
        with pytest.raises(TypeError, match="dict"):
            await client.run(None)  # type: ignore[arg-type]

    with fake_broker(in_turn(failure("invalid_params", "wrong"))) as broker:
        using(broker.endpoint, use)


def test_silence_and_absence_are_told_apart() -> None:
    async def silence(client: AsyncVPollerClient) -> None:
        with pytest.raises(ReplyTimeout, match="2 times"):
            await client.call("x")

    async def absence(client: AsyncVPollerClient) -> None:
        with pytest.raises(Unreachable, match="2 tries"):
            await client.call("x")

    with fake_broker(silent) as broker, closed_port() as down:
        using(broker.endpoint, silence, 50, 2)
        using(down, absence, 50, 2)


def test_a_restart_under_a_waiting_call_is_survived() -> None:
    async def use(client: AsyncVPollerClient) -> Any:
        return await client.call("x", a=1)

    with fake_broker(in_turn(Crash(back_after=0.2), echo)) as broker:
        assert using(broker.endpoint, use, 20_000, 3) == {"a": 1}


async def ticks_during(work: Awaitable[object]) -> int:
    """Return how many turns another task had while this was done."""
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await work
    ticking.cancel()
    return ticks


def test_other_tasks_live_while_one_waits() -> None:
    async def use(client: AsyncVPollerClient) -> int:
        return await ticks_during(client.run({"method": "slow"}))

    with fake_broker(lambda seen: Later(0.1, echo(seen))) as broker:
        assert using(broker.endpoint, use) > 10


def test_other_tasks_live_while_replies_come_faster_than_they_are_used(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks = 0
    look = Pipeline._look

    def counted(pipeline: Pipeline) -> None:
        nonlocal looks
        looks += 1
        look(pipeline)

    async def no_wait(*_: object) -> None:
        """Something is always there."""

    async def drain(client: AsyncVPollerClient) -> None:
        async for _ in client.map(numbers(200)):
            pass

    async def use(client: AsyncVPollerClient) -> int:
        return await ticks_during(drain(client))

    monkeypatch.setattr(Pipeline, "_look", counted)
    monkeypatch.setattr(aio, "_wait", no_wait)
    with fake_broker() as broker:
        assert using(broker.endpoint, use) > looks / 2 > 1


def test_a_cancelled_call_closes_its_connection_and_harms_no_other() -> None:
    def script(seen: Seen) -> Any:
        return Later(0.2, success("stale")) if seen.params.get("slow") else echo(seen)

    async def use(client: AsyncVPollerClient) -> None:
        await client.call("x")
        for n in range(20):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await client.call("x", slow=True)
            assert await client.call("x", n=n) == {"n": n}

    before = descriptors()
    with fake_broker(script) as broker:
        using(broker.endpoint, use)
    assert descriptors() <= before


def test_a_map_that_is_left_early_closes_its_connection() -> None:
    async def use(client: AsyncVPollerClient) -> None:
        async for _ in client.map(numbers(100)):
            break
        assert await client.call("x", a=1) == {"a": 1}

    before = descriptors()
    with fake_broker() as broker:
        using(broker.endpoint, use)
    assert descriptors() <= before


def test_one_client_serves_one_event_loop_after_another() -> None:
    with fake_broker() as broker:
        client = AsyncVPollerClient(broker.endpoint)
        for n in range(3):
            assert asyncio.run(client.call("x", n=n)) == {"n": n}
        asyncio.run(client.close())
        with pytest.raises(RuntimeError, match="closed"):
            asyncio.run(client.call("x"))


def test_a_lost_reply_in_a_map_is_asked_for_again() -> None:
    async def use(client: AsyncVPollerClient) -> list[int]:
        return [envelope["result"]["n"] async for envelope in client.map(numbers(30), 8)]

    def forgetful(seen: Seen) -> Any:
        return Silence() if seen.count == 10 else echo(seen)

    with fake_broker(forgetful) as broker:
        assert using(broker.endpoint, use, 300, 3) == list(range(30))
        assert len(broker.requests) == 31
