"""What hostile clients cost an honest one, and the broker, on real processes."""

from __future__ import annotations

import resource
import time
from collections.abc import Iterator

import pytest

from tests.faults import hostile_load
from tests.support import loads, zmtp
from tests.support.fabric import Fabric, eventually
from tests.support.honest import Honest, Process, quantile
from tests.support.req import Req

SHARE = 4 << 20
#: How much worse than quiet the honest client's 99th percentile may be here, where other
#: tests run beside; and the seconds that do not count. `make faults` judges exactly.
WORSE = 5.0
MOMENT = 0.5


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric({"unsent_peer_bytes": SHARE}) as fabric:
        fabric.start_worker(agents="system", threads=2)
        yield fabric


@pytest.mark.parametrize(("kind", "count"), [("endless", 1), ("idle", 500), ("halves", 100)])
def test_an_honest_client_is_served_beside(fabric: Fabric, kind: str, count: int) -> None:
    phase = hostile_load.measure(fabric, kind, count, rounds=1, seconds=1.0)
    limit = max(MOMENT, WORSE * quantile(phase.quiet, 0.99))
    assert quantile(phase.hostile, 0.99) < limit, hostile_load.lines(phase, count)
    allowed = hostile_load.allowed_growth(kind, count, SHARE)
    assert phase.peak - phase.before < allowed, hostile_load.lines(phase, count)


def test_a_client_that_never_reads_has_a_share_of_memory_and_loses_the_rest(
    fabric: Fabric,
) -> None:
    before = fabric.status()["counters"]["undeliverable"]
    with loads.Load("deaf", fabric.frontend), Honest(fabric.frontend) as honest:

        def has_lost() -> bool:
            return bool(fabric.status()["counters"]["undeliverable"] > before)

        eventually(has_lost, "replies beyond the share are dropped")
        honest.ask()
        usage = fabric.status()["usage"]["unsent_bytes"]
    assert SHARE / 2 < usage["peak"] <= SHARE
    eventually(lambda: not fabric.status()["usage"]["unsent_bytes"]["now"], "it left")


def test_while_a_million_empty_frames_are_thrown_away_all_other_doors_are_open(
    fabric: Fabric,
) -> None:
    """The broker read them in one go, and neither workers nor operators were heard meanwhile."""
    lost = fabric.status()["counters"]["lost_workers"]
    broker = Process(fabric.broker_pid)
    packet = bytes([1, 0]) * (loads.EMPTY_BYTES // 2) + b"\0\3end"
    bad = fabric.status()["counters"]["bad_requests"]
    began = broker.busy
    raw = loads.connected(fabric.frontend)
    raw.sendall(packet)
    looks = 0

    def is_read() -> bool:
        nonlocal looks
        looks += 1
        return bool(fabric.status()["counters"]["bad_requests"] > bad)

    eventually(is_read, "the message is answered as a bad request")
    raw.close()
    # A broker that stands still answers the first look before, and the second after it all.
    assert looks > 3
    assert broker.busy - began < hostile_load.BUSY_PER_MIB * loads.EMPTY_BYTES / (1 << 20)
    assert fabric.status()["counters"]["lost_workers"] == lost


def test_a_broker_without_a_file_left_serves_those_who_are_connected(fabric: Fabric) -> None:
    """It looked at itself by opening a file, and ended."""
    before = fabric.status()["usage"]["max_files"]
    raws = []
    with Honest(fabric.frontend) as honest, Req(fabric.admin) as operator:

        def files() -> dict[str, object]:
            operator.send({"method": "status"})
            usage: dict[str, object] = operator.receive()["result"]["usage"]["max_files"]
            return usage

        honest.ask()
        allowed = int(str(files()["now"])) + 10
        hard = resource.prlimit(fabric.broker_pid, resource.RLIMIT_NOFILE)[1]
        resource.prlimit(fabric.broker_pid, resource.RLIMIT_NOFILE, (allowed, hard))
        try:
            raws = [zmtp.connect(fabric.frontend) for _ in range(20)]
            eventually(lambda: files()["now"] == allowed, "all files are open")
            time.sleep(1.5)
            honest.ask()
            assert files()["alarm"] is True
        finally:
            resource.prlimit(fabric.broker_pid, resource.RLIMIT_NOFILE, (before["allowed"], hard))
            for raw in raws:
                raw.close()
        eventually(lambda: files()["alarm"] is False, "the alarm is over")
    assert "files are open, one for each connection" in fabric.logs()
