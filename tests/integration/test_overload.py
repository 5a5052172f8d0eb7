"""Ten times of what the workers can do: refused in words, and what is accepted keeps its pace."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.faults import overload
from tests.support.fabric import Fabric
from vpoller_like.client import VPollerClient

#: Other tests run beside; `make faults` judges exactly.
WORSE = 5.0


def test_what_is_too_much_is_refused_as_busy_and_the_rest_keeps_its_latency() -> None:
    capacity, flooded = overload.measure(times=10, seconds=1.5)
    told = [overload.line("capacity", capacity), overload.line("overload", flooded)]
    assert not overload.breaches(capacity, flooded, WORSE), told


def test_refused_clients_come_back_until_all_are_served() -> None:
    with Fabric({"queue_length": 4}) as fabric:
        fabric.start_worker(agents="probe", threads=2)

        def ask(_: int) -> int:
            with VPollerClient(endpoint=fabric.frontend, timeout=20_000) as client:
                return int(client.call("probe.quick", seconds=0.02) > 0)

        with ThreadPoolExecutor(24) as pool:
            assert sum(pool.map(ask, range(48))) == 48
        counters = fabric.status()["counters"]
    assert counters["busy"] > 0
    # One that did not wait as it was told would have asked thousands of times.
    assert counters["requests"] < 48 * 20
