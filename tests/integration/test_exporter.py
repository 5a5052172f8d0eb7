"""``vpoller exporter`` as a process, before a broker and an agent that is not vSphere's."""

from __future__ import annotations

import gzip
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.agents.meter import NASTY
from tests.support.exporting import OPENMETRICS, Exporter, exporting
from tests.support.fabric import Fabric, eventually

TIMEOUT = "X-Prometheus-Scrape-Timeout-Seconds"


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    # A host that nobody serves is told of at once, and not waited for.
    with Fabric({"grace_ms": 1, "route_memory_ms": 1}) as fabric:
        fabric.start_worker(threads=4, agents="meter")
        yield fabric


@pytest.fixture(scope="module")
def exporter(fabric: Fabric) -> Iterator[Exporter]:
    with exporting(fabric) as exporter:
        eventually(
            lambda: "\nvpoller_target_up 1" in exporter.get("/metrics?target=large").text,
            "all hosts are served",
        )
        yield exporter


@pytest.mark.parametrize("accept", ["", OPENMETRICS])
def test_an_agents_families_become_the_text_that_is_asked_for(
    exporter: Exporter, accept: str
) -> None:
    reply = exporter.get("/metrics?target=good&collect=a,b&collect=c", {"Accept": accept})
    assert reply.status == 200
    assert reply.headers["content-type"] == (
        "application/openmetrics-text; version=1.0.0; charset=utf-8"
        if accept
        else "text/plain; version=0.0.4; charset=utf-8"
    )
    assert reply.value("meter_level_bytes", name="one") == 1
    assert reply.value("meter_level_bytes", name=NASTY) == 2.5
    assert reply.value("meter_level_bytes", name="unknown") is None
    assert [reply.value("meter_turns_total", part=part) for part in "abc"] == [7, 7, 7]
    assert reply.value("meter_info") == 1
    assert reply.value("vpoller_target_up") == 1
    assert (reply.value("vpoller_target_scrape_duration_seconds") or 0) > 0
    assert ("# UNIT meter_level_bytes bytes\n" in reply.text) == bool(accept)
    assert reply.text.endswith("# EOF\n") == bool(accept)


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("nowhere", "unknown_host"),
        ("failing", "worn_out"),
        ("wrong", "bad_answer"),
    ],
)
def test_what_is_wrong_behind_the_exporter_is_a_metric(
    exporter: Exporter, target: str, reason: str
) -> None:
    reply = exporter.get(f"/metrics?target={target}")
    assert reply.status == 200
    assert reply.value("vpoller_target_up") == 0
    assert reply.value("vpoller_target_scrape_error", reason=reason) == 1
    assert "Traceback" not in reply.text


def test_a_scrape_ends_before_prometheus_gives_it_up(exporter: Exporter) -> None:
    reply = exporter.get("/metrics?target=slow", {TIMEOUT: "1.5"})
    assert reply.value("vpoller_target_up") == 0
    assert reply.value("vpoller_target_scrape_error", reason="timeout") == 1


def test_a_broker_that_is_not_there_is_a_metric(fabric: Fabric) -> None:
    with exporting(fabric, frontend="tcp://127.0.0.1:1") as lonely:
        reply = lonely.get("/metrics?target=good", {TIMEOUT: "1.5"})
        assert reply.value("vpoller_target_scrape_error", reason="unreachable") == 1
        assert lonely.get("/-/healthy").status == 200


@pytest.mark.parametrize(
    ("path", "status", "word"),
    [
        ("/nothing", 404, "/metrics?target=NAME"),
        ("/metrics?collect=a", 400, "target"),
        ("/metrics?target=", 400, "target"),
        ("/metrics?target=good&target=slow", 400, "target"),
        (f"/metrics?target={'x' * 256}", 400, "target"),
        ("/metrics?target=good&method=system.status", 400, "method"),
        ("/metrics?target=good&hostname=slow", 400, "hostname"),
        ("/metrics?target=good&meta=1", 400, "meta"),
        ("/metrics?target=%ff", 400, "cannot be read"),
        ("/metrics?" + "&".join(f"p{number}=1" for number in range(60)), 400, "cannot be read"),
        (f"/{'x' * 50_000}", 431, "no request"),
    ],
)
def test_a_request_that_is_wrong_is_told_why(
    exporter: Exporter, path: str, status: int, word: str
) -> None:
    reply = exporter.get(path)
    assert (reply.status, reply.text.count("\n")) == (status, 1)
    assert word in reply.text


@pytest.mark.parametrize("seconds", ["soon", "nan", ""])
def test_a_scrape_timeout_that_is_no_number_is_refused(exporter: Exporter, seconds: str) -> None:
    assert exporter.get("/metrics?target=good", {TIMEOUT: seconds}).status == 400


def test_it_only_reads(exporter: Exporter) -> None:
    reply = exporter.get("/metrics?target=good", method="POST")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")
    assert exporter.get("/metrics", method="HEAD").body == b""


def test_what_is_no_http_is_answered_or_closed(exporter: Exporter) -> None:
    for rubbish in (b"\x16\x03\x01\x02\x00\x01\x00\x01", b"HELLO\r\n\r\n", b"GET / HTTP/9\r\n\r\n"):
        with exporter.connected() as connection:
            connection.sendall(rubbish + b"\r\n\r\n")
            assert connection.recv(4096).startswith((b"HTTP/1.1 4", b""))
    assert exporter.get("/-/healthy").text == "healthy\n"


def test_health_and_a_landing_page(exporter: Exporter) -> None:
    assert exporter.get("/-/ready").text == "ready\n"
    page = exporter.get("/")
    assert page.headers["content-type"].startswith("text/html")
    assert 'action="/metrics"' in page.text


def test_the_exporter_tells_of_itself(exporter: Exporter) -> None:
    def told(name: str, /, **labels: str) -> float:
        return exporter.get("/metrics").value(name, **labels) or 0.0

    ok, unknown = told("vpoller_exporter_scrapes_total", outcome="ok"), "unknown_host"
    missed = told("vpoller_exporter_scrapes_total", outcome=unknown)
    exporter.get("/metrics?target=good")
    exporter.get("/metrics?target=nowhere")
    assert told("vpoller_exporter_scrapes_total", outcome="ok") == ok + 1
    assert told("vpoller_exporter_scrapes_total", outcome=unknown) == missed + 1
    assert told("vpoller_exporter_scrape_duration_seconds_count") >= ok + missed + 2
    assert told("vpoller_exporter_scrapes_under_way") == 0
    assert told("vpoller_exporter_http_requests_total", code="200") > 2
    names = {name for name, _ in exporter.get("/metrics", {"Accept": OPENMETRICS}).samples()}
    assert {"vpoller_exporter_build_info", "process_resident_memory_bytes"} <= names


def test_a_large_answer_is_compressed_for_who_takes_it(exporter: Exporter) -> None:
    plain = exporter.get("/metrics?target=large")
    packed = exporter.get("/metrics?target=large", {"Accept-Encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 2
    unpacked = gzip.decompress(packed.body).decode()
    assert unpacked.count("\nmeter_value{") == plain.text.count("\nmeter_value{") == 20_000


def test_many_scrape_at_once_and_a_slow_target_holds_up_nobody(exporter: Exporter) -> None:
    def scrape(target: str, seconds: str) -> float | None:
        reply = exporter.get(f"/metrics?target={target}", {TIMEOUT: seconds})
        return reply.value("vpoller_target_up")

    with ThreadPoolExecutor(64) as threads:
        # More than there are turns.
        slow = [threads.submit(scrape, "slow", "4") for _ in range(40)]
        assert list(threads.map(scrape, ["good"] * 24, ["10"] * 24)) == [1] * 24
        assert not all(each.done() for each in slow)
        assert {each.result() for each in slow} == {0, 1}


def test_slow_and_silent_clients_hold_up_nobody(exporter: Exporter) -> None:
    idle = [exporter.connected() for _ in range(600)]
    for connection in idle[:300]:
        connection.sendall(b"GET /metrics?target=good HTTP/1.1\r\nX-Slow: ")
    deaf = exporter.connected()
    deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
    deaf.sendall(b"GET /metrics?target=large HTTP/1.1\r\nHost: x\r\n\r\n")
    assert exporter.get("/metrics?target=good").value("vpoller_target_up") == 1
    for connection in (*idle, deaf):
        connection.close()


def test_a_scrape_under_way_is_finished_when_it_is_told_to_end(fabric: Fabric) -> None:
    with exporting(fabric) as exporter, ThreadPoolExecutor(1) as thread:
        under_way = thread.submit(exporter.get, "/metrics?target=slow")
        eventually(
            lambda: exporter.get("/metrics").value("vpoller_exporter_scrapes_under_way") == 1,
            "the scrape is under way",
        )
        exporter.process.send(signal.SIGTERM)
        assert under_way.result().value("vpoller_target_up") == 1
        assert exporter.process.wait() == 0
        with pytest.raises(ConnectionRefusedError):
            exporter.get("/-/ready")


def test_a_second_signal_ends_it_at_once(fabric: Fabric) -> None:
    with exporting(fabric) as exporter, ThreadPoolExecutor(1) as thread:
        under_way = thread.submit(exporter.get, "/metrics?target=slow")
        eventually(
            lambda: exporter.get("/metrics").value("vpoller_exporter_scrapes_under_way") == 1,
            "the scrape is under way",
        )
        exporter.process.send(signal.SIGTERM)
        eventually(lambda: _refuses(exporter), "it has taken the first signal")
        exporter.process.send(signal.SIGTERM)
        assert exporter.process.wait() == 0
        assert isinstance(under_way.exception(), ConnectionError | OSError)


def _refuses(exporter: Exporter) -> bool:
    try:
        exporter.connected().close()
    except ConnectionRefusedError:
        return True
    return False
