"""How scrapes take turns, and what becomes of a reply, with a client that is none."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

pytest.importorskip("prometheus_client")

from vpoller_like.errors import InvalidParams
from vpoller_like.gateway.http import Refusal, Request
from vpoller_like.gateway.pages import Pages
from vpoller_like.gateway.scraper import Scraper
from vpoller_like.gateway.tally import Tally

FAMILIES = [{"name": "m", "help": "A metric.", "samples": [[[], 1]]}]


class Clients:
    """Makes clients that answer when they may; keeps what they are asked."""

    def __init__(self, reply: dict[str, Any] | None = None) -> None:
        self.reply = reply or {"success": 0, "msg": "", "result": FAMILIES}
        self.budgets: list[float] = []
        self.asked: list[dict[str, Any]] = []
        self.go = asyncio.Event()

    def __call__(self, seconds: float) -> Clients:
        self.budgets.append(seconds)
        return self

    async def run(self, msg: dict[str, Any]) -> dict[str, Any]:
        self.asked.append(msg)
        await self.go.wait()
        return self.reply


def run(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(test(), 20))


def test_more_scrapes_than_turns_wait_until_it_is_too_late() -> None:
    async def test() -> None:
        clients = Clients()
        scraper = Scraper(clients, "metrics.collect", limit=2)
        first = [asyncio.ensure_future(scraper.scrape(name, {}, 30)) for name in "ab"]
        await asyncio.sleep(0)
        assert (await scraper.scrape("c", {}, 0.6)).code == "busy"
        waiting = asyncio.ensure_future(scraper.scrape("c", {}, 30))
        clients.go.set()
        assert [(await each).code for each in (*first, waiting)] == ["", "", ""]
        assert [msg["hostname"] for msg in clients.asked] == ["a", "b", "c"]

    run(test)


def test_one_target_has_a_quarter_of_the_turns() -> None:
    async def test() -> None:
        clients = Clients()
        scraper = Scraper(clients, "metrics.collect", limit=8)
        first = [asyncio.ensure_future(scraper.scrape("a", {}, 30)) for _ in range(2)]
        await asyncio.sleep(0)
        assert (await scraper.scrape("a", {}, 0.6)).code == "busy"
        other = asyncio.ensure_future(scraper.scrape("b", {}, 30))
        await asyncio.sleep(0)
        assert [msg["hostname"] for msg in clients.asked] == ["a", "a", "b"]
        clients.go.set()
        await asyncio.gather(*first, other)
        # Nothing is kept of targets that nobody asks for any more.
        assert not scraper._of_target
        assert not scraper._under_way

    run(test)


def test_there_are_few_clients_however_exact_the_deadlines_are() -> None:
    async def test() -> None:
        clients = Clients()
        clients.go.set()
        scraper = Scraper(clients, "metrics.collect", limit=2)
        for seconds in (0.6, 9.9, 9.95, 9.99, 10.45):
            await scraper.scrape("a", {}, seconds)
        assert clients.budgets == [0.5, 9.5, 10.0]

    run(test)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ({"code": "task_failed", "reason": "login_refused"}, "login_refused"),
        ({"code": "task_failed"}, "task_failed"),
        # A label's values are words; whoever answers may say anything.
        ({"code": "task_failed", "reason": 'x" 1\n'}, "task_failed"),
        ({"code": "task_failed", "reason": ["x"]}, "task_failed"),
        ({"code": "invented"}, "error"),
        ({}, "task_failed"),
    ],
)
def test_the_reason_is_a_word(error: dict[str, Any], reason: str) -> None:
    async def test() -> None:
        clients = Clients({"success": 1, "msg": "no", "error": error})
        clients.go.set()
        scrape = await Scraper(clients, "m", 1).scrape("a", {}, 1)
        assert scrape.reason == reason

    run(test)


def test_parameters_that_the_method_does_not_take_are_the_askers_fault() -> None:
    async def test() -> None:
        clients = Clients({"success": 1, "msg": "no", "error": {"code": "invalid_params"}})
        clients.go.set()
        with pytest.raises(InvalidParams):
            await Scraper(clients, "m", 1).scrape("a", {"collect": ["x"]}, 1)
        assert clients.asked == [{"collect": ["x"], "method": "m", "hostname": "a"}]

    run(test)


@pytest.mark.parametrize(
    ("header", "longest", "budget"),
    [
        ("10", 30, 9.0),
        ("10.45", 30, 9.5),
        ("1000", 30, 29.5),
        ("0", 30, 0.5),
        ("-5", 30, 0.5),
        ("inf", 30, 29.5),
        (None, 5, 4.5),
    ],
)
def test_a_scrape_has_half_a_second_less_than_prometheus_waits(
    header: str | None, longest: float, budget: float
) -> None:
    async def test() -> None:
        clients = Clients()
        clients.go.set()
        pages = Pages(Scraper(clients, "m", 4), Tally(), longest)
        headers = {} if header is None else {"x-prometheus-scrape-timeout-seconds": header}
        reply = await pages.answer(Request("/metrics", {"target": ["a"]}, headers))
        assert reply.status == 200
        # A little of it has passed when the client is chosen.
        assert clients.budgets == [budget]

    run(test)


def test_ready_is_told_only_while_it_is_so() -> None:
    async def test() -> None:
        pages = Pages(Scraper(Clients(), "m", 4), Tally(), 1)
        assert (await pages.answer(Request("/-/ready", {}, {}))).status == 503
        assert (await pages.answer(Request("/-/healthy", {}, {}))).status == 200
        with pytest.raises(Refusal):
            await pages.answer(Request("/favicon.ico", {}, {}))

    run(test)


def test_what_a_client_makes_up_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        clients = Clients({"success": 1, "msg": "no host x\n\x1b[31mforged", "error": {}})
        clients.go.set()
        pages = Pages(Scraper(clients, "m", 4), Tally(), 1)
        await pages.answer(Request("/metrics", {"target": ["x\n\x1b[31mforged"]}, {}))

    run(test)
    assert [record.getMessage().isprintable() for record in caplog.records] == [True]
