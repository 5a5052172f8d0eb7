"""What a request costs the broker, beside what it costs ``zmq.proxy``.

A bound for what is compiled and for pure Python, half as much again as what it needs: it is
there to notice that the broker has become twice as dear, not to measure. ``make bench`` measures.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator

import pytest

from tests.bench import ways
from tests.bench.compiling import NoCompiler, Programs, programs
from tests.bench.measuring import measure
from tests.bench.rows import FLOOD, Row
from tests.bench.ways import OURS, Way
from tests.support.tools import missing
from vpoller_like.broker import compiled

#: Much is under way and the workers are quick: the broker always has work, so that what a
#: request costs does not depend on how often it sleeps.
ROW = Row("c", FLOOD)
#: Short ones that take turns: on a busy machine single ones are off by a factor of two.
ROUNDS = 9
SECONDS = 0.15
#: What is too much is measured again: a neighbour may have been busy.
TRIES = 3
BOUNDS = {"c": 6.0, "pure": 16.0}


@pytest.fixture(scope="module")
def built() -> Programs:
    try:
        return programs()
    except NoCompiler as error:
        missing(str(error))


@pytest.fixture(scope="module")
def proxy(built: Programs) -> Iterator[Way]:
    with ways.proxied(ROW.workers, built) as way:
        yield way


@pytest.mark.parametrize("transport", BOUNDS)
def test_a_request_costs_the_broker_a_bounded_multiple_of_what_it_costs_a_proxy(
    built: Programs, proxy: Way, transport: str
) -> None:
    env = ways.transports(transport).get(transport)
    if env is None:
        missing(f"the transport {transport} is not here")
    if transport == "c" and compiled.TWINS.kind != "c":
        missing(f"the compiled core is not here: {compiled.TWINS.reason}")
    found: list[float] = []
    with ways.ours(OURS[transport], ROW.workers, built, env) as broker:
        while len(found) < TRIES and min(found, default=float("inf")) > BOUNDS[transport]:
            found.append(_times_as_much(built, broker, proxy))
    assert min(found) <= BOUNDS[transport], f"times zmq.proxy's CPU per request: {found}"


def _times_as_much(built: Programs, broker: Way, proxy: Way) -> float:
    ratios = []
    for _ in range(ROUNDS):
        theirs = measure(built.load, proxy, ROW, SECONDS)
        own = measure(built.load, broker, ROW, SECONDS)
        ratios.append(own.broker_cpu / theirs.broker_cpu)
    return statistics.median(ratios)
