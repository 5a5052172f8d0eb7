"""What the exporter answers to each address."""

from __future__ import annotations

import asyncio
import html
import logging
import math
from collections.abc import Mapping

from prometheus_client.registry import Collector

from vpoller_like import __version__
from vpoller_like.errors import InvalidParams
from vpoller_like.gateway.exposition import Families, negotiated, write
from vpoller_like.gateway.http import Refusal, Request, Response, packed
from vpoller_like.gateway.scraper import WAY_BACK, Scrape, Scraper
from vpoller_like.gateway.tally import Tally
from vpoller_like.protocol.request import RESERVED

log = logging.getLogger("vpoller.exporter")

#: The seconds that Prometheus waits for a scrape.
_TIMEOUT_HEADER = "x-prometheus-scrape-timeout-seconds"
_SHORTEST = 0.5
_MAX_TARGET = 255
#: What a request to the broker is made of; parameters cannot be named so.
_RESERVED = (*RESERVED, "helper")


class Pages:
    """Answers requests. A scrape takes ``longest`` seconds at most."""

    def __init__(self, scraper: Scraper, tally: Tally, longest: float) -> None:
        self._scraper = scraper
        self._tally = tally
        self._longest = longest
        #: Whether the exporter is there for requests.
        self.ready = False

    async def answer(self, request: Request) -> Response:
        """Return the answer to a request; raise ``Refusal``."""
        try:
            response = await self._page(request)
        except Refusal as refusal:
            self._tally.count_request(refusal.response.status)
            raise
        self._tally.count_request(response.status)
        return response

    async def _page(self, request: Request) -> Response:
        match request.path:
            case "/metrics":
                return await self._metrics(request)
            case "/-/healthy":
                return Response(200, b"healthy\n")
            case "/-/ready":
                return Response(200, b"ready\n") if self.ready else Response(503, b"not ready\n")
            case "/":
                return Response(200, _landing().encode(), "text/html; charset=utf-8")
        raise Refusal(404, "there is /metrics?target=NAME, /metrics, /-/healthy and /-/ready")

    async def _metrics(self, request: Request) -> Response:
        if not request.parameters:
            return await _written(self._tally.registry, request)
        target = _target(request.parameters)
        self._tally.under_way.inc()
        try:
            scrape = await self._scraper.scrape(
                target, _parameters(request.parameters), _seconds(request.headers, self._longest)
            )
        except InvalidParams as error:
            raise Refusal(400, error.message) from error
        finally:
            self._tally.under_way.dec()
        self._tally.count_scrape(scrape)
        _log_failure(target, scrape)
        return await _written(Families(scrape.all_families()), request)


async def _written(collector: Collector, request: Request) -> Response:
    """Return the metrics as text, in a thread: others are answered while a long one is written."""
    kind = negotiated(request.headers.get("accept", ""))

    def response() -> Response:
        return packed(Response(200, write(collector, kind), kind), request.headers)

    return await asyncio.to_thread(response)


def _target(parameters: Mapping[str, list[str]]) -> str:
    targets = parameters.get("target", [])
    if len(targets) != 1 or not 0 < len(targets[0]) <= _MAX_TARGET:
        raise Refusal(400, "target: expected the name of one target, as in /metrics?target=vc01")
    return targets[0]


def _parameters(given: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return what goes to the method: each parameter a list, of all that commas part."""
    for name in _RESERVED:
        if name in given:
            raise Refusal(400, f"{name}: no parameter of a scrape; leave it out")
    return {
        name: [part.strip() for value in values for part in value.split(",") if part.strip()]
        for name, values in given.items()
        if name != "target"
    }


def _seconds(headers: Mapping[str, str], longest: float) -> float:
    """Return how long the scrape may take: a moment less than Prometheus waits."""
    try:
        given = float(headers.get(_TIMEOUT_HEADER, "inf"))
    except ValueError:
        raise Refusal(400, f"{_TIMEOUT_HEADER}: expected a number of seconds") from None
    if math.isnan(given):
        raise Refusal(400, f"{_TIMEOUT_HEADER}: expected a number of seconds")
    return max(_SHORTEST, min(given - WAY_BACK, longest))


def _log_failure(target: str, scrape: Scrape) -> None:
    if scrape.code:
        # Whoever asks chose the target, which the sentence may quote: it is to be one line.
        sentence = "".join(c if c.isprintable() else " " for c in scrape.sentence)
        log.warning("target %r: %s (%s)", target, sentence, scrape.reason)


def _landing() -> str:
    return (
        "<!doctype html><title>vpoller exporter</title>"
        f"<h1>vpoller exporter {html.escape(__version__)}</h1>"
        '<form action="/metrics"><label>Target <input name="target" required></label> '
        "<button>Scrape</button></form>"
        '<p><a href="/metrics">The exporter\'s own metrics</a></p>\n'
    )
