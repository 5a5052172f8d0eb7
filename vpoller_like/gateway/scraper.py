"""A scrape of one target: asking the broker for its metrics, and what to say when that fails."""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import msgspec

from vpoller_like.client.outcome import Envelope, result_of
from vpoller_like.errors import Busy, InvalidParams, VPollerError
from vpoller_like.gateway.families import Family, family, read_families

#: Seconds that a scrape's answer has to come back and to be written.
WAY_BACK = 0.5
#: Seconds: deadlines are rounded down to them, for there is a client for each.
_STEP = 0.5
_REASON = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Asker(Protocol):
    """A client."""

    async def run(self, msg: dict[str, Any]) -> Envelope:
        """Return the reply to ``msg``."""


class Scrape(msgspec.Struct, frozen=True):
    """What came of one scrape. ``code`` and ``reason`` are empty for a success."""

    families: list[Family]
    seconds: float
    code: str = ""
    reason: str = ""
    sentence: str = ""

    def all_families(self) -> list[Family]:
        """Return what the target told, and what is to be told of the scrape itself."""
        return [*self.families, *self._own()]

    def _own(self) -> list[Family]:
        reasons = [([self.reason], 1.0)] if self.code else []
        return [
            family(
                "vpoller_target_up",
                "Whether the target's metrics could be collected.",
                [([], 0.0 if self.code else 1.0)],
            ),
            family(
                "vpoller_target_scrape_duration_seconds",
                "Time that the scrape took, from the exporter's side.",
                [([], self.seconds)],
                unit="seconds",
            ),
            family(
                "vpoller_target_scrape_error",
                "1, with the reason, where the target's metrics could not be collected.",
                reasons,
                labels=["reason"],
            ),
        ]


class Scraper:
    """Asks for ``method``, at most ``limit`` times at once and a quarter of that of one target.

    ``make_client`` makes a client that gives up after so many seconds. More scrapes than
    the limit wait for their turn until their deadlines.
    """

    def __init__(self, make_client: Callable[[float], Asker], method: str, limit: int) -> None:
        self._make_client = make_client
        self._method = method
        self._turns = asyncio.Semaphore(limit)
        self._share = max(1, limit // 4)
        #: The turns of each target that is being scraped, and how many scrapes there are of it.
        self._of_target: dict[str, asyncio.Semaphore] = {}
        self._under_way: Counter[str] = Counter()
        self._clients: dict[float, Asker] = {}

    async def scrape(
        self, target: str, parameters: Mapping[str, Sequence[str]], seconds: float
    ) -> Scrape:
        """Return the metrics of ``target``, or what went wrong within so many seconds.

        Raises ``InvalidParams`` where the method does not take these ``parameters``.
        """
        started = time.monotonic()
        try:
            families = await self._collect(target, parameters, started + seconds)
        except InvalidParams:
            raise
        except VPollerError as error:
            return _failed(error, time.monotonic() - started)
        return Scrape(families, time.monotonic() - started)

    async def _collect(
        self, target: str, parameters: Mapping[str, Sequence[str]], deadline: float
    ) -> list[Family]:
        message = {**parameters, "method": self._method, "hostname": target}
        async with self._turn(target, deadline):
            envelope = await self._client(deadline - time.monotonic()).run(message)
            # A large inventory's metrics take a while to be read.
            return await asyncio.to_thread(_families_in, envelope)

    @asynccontextmanager
    async def _turn(self, target: str, deadline: float) -> AsyncIterator[None]:
        """Have one of the target's turns and one of all; raise ``Busy`` if that takes too long."""
        its_own = self._of_target.setdefault(target, asyncio.Semaphore(self._share))
        self._under_way[target] += 1
        try:
            async with _acquired(its_own, deadline), _acquired(self._turns, deadline):
                yield
        finally:
            self._under_way[target] -= 1
            if not self._under_way[target]:
                del self._under_way[target], self._of_target[target]

    def _client(self, seconds: float) -> Asker:
        rounded = max(_STEP, seconds // _STEP * _STEP)
        if rounded not in self._clients:
            self._clients[rounded] = self._make_client(rounded)
        return self._clients[rounded]


@asynccontextmanager
async def _acquired(turns: asyncio.Semaphore, deadline: float) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(deadline - _STEP - time.monotonic()):
            await turns.acquire()
    except TimeoutError:
        raise Busy(
            "other scrapes were under way until it was too late; scrape less often, or raise "
            "exporter.max_scrapes"
        ) from None
    try:
        yield
    finally:
        turns.release()


def _families_in(envelope: Envelope) -> list[Family]:
    return read_families(result_of(envelope))


def _failed(error: VPollerError, seconds: float) -> Scrape:
    told = error.details.get("reason")
    reason = told if isinstance(told, str) and _REASON.fullmatch(told) else error.code
    return Scrape([], seconds, error.code, reason, error.message)
