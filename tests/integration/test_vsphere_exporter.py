"""The way of a scrape as it is in service: HTTP, exporter, broker, worker, vCenter."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.exporting import OPENMETRICS, Exporter, Reply, exporting
from tests.support.fabric import ROOT, Fabric, eventually, free_endpoints
from tests.support.grafana import queries
from tests.support.vcsim import FEATURES, Simulator, running

pytest.importorskip("pyVmomi")

TIMEOUT = "X-Prometheus-Scrape-Timeout-Seconds"


@pytest.fixture(scope="module")
def vcenter() -> Iterator[Simulator]:
    with running(vms=12, features=FEATURES) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def exporter(vcenter: Simulator) -> Iterator[Exporter]:
    nobody = free_endpoints(1)[0].rpartition(":")[2]
    dead = vcenter.settings.replace("127.0.0.1", "localhost")
    dead = dead.replace(f"port = {vcenter.port}", f"port = {nobody}")
    # A host that nobody serves is told of at once, and not waited for.
    with Fabric({"grace_ms": 1, "route_memory_ms": 1}) as fabric:
        settings = fabric.place / "vpoller" / "vpoller.toml"
        settings.parent.mkdir()
        settings.write_text(vcenter.settings + dead)
        settings.chmod(0o600)
        fabric.start_worker(threads=4, agents="vsphere")
        with exporting(fabric) as exporter:
            eventually(lambda: scrape(exporter).value("vpoller_target_up"), "it can be scraped")
            yield exporter


def scrape(exporter: Exporter, more: str = "", target: str = "127.0.0.1", **headers: str) -> Reply:
    reply = exporter.get(f"/metrics?target={target}{more}", headers)
    assert reply.status == 200, reply.text
    return reply


ALL = "&collect=inventory,snapshots,alarms,realtime,historical"


def test_both_formats_tell_the_same(exporter: Exporter) -> None:
    plain = scrape(exporter, ALL)
    assert plain.value("vpoller_target_up") == 1
    assert plain.value("vsphere_objects", kind="datacenter") == 1
    rich = scrape(exporter, ALL, Accept=OPENMETRICS)
    assert rich.headers["content-type"].startswith("application/openmetrics-text")
    assert set(plain.samples()) == set(rich.samples())
    assert len(plain.samples()) > 300


def test_the_dashboards_panels_have_what_to_show(exporter: Exporter) -> None:
    there = {name for name, _ in scrape(exporter, ALL).samples()}
    asked = {
        name
        for query in queries(ROOT / "etc" / "grafana" / "vsphere.json")
        for name in query.metrics
    }
    # Nothing has failed, and the simulator tells neither of these.
    missing = {"vpoller_target_scrape_error", "vsphere_collector_error"}
    silent = {
        "vsphere_datastore_uncommitted_bytes",
        "vsphere_vm_memory_ballooned_bytes",
        "vsphere_vm_memory_swapped_bytes",
    }
    assert asked - there == missing | silent


def test_parameters_reach_the_vcenters_collectors(exporter: Exporter) -> None:
    reply = scrape(exporter, "&collect=snapshots&exclude=vm:*_VM1,vm:*_VM2")
    machines = {
        dict(labels)["vm"] for name, labels in reply.samples() if name == "vsphere_vm_snapshots"
    }
    assert "DC0_C0_RP0_VM3" in machines
    assert not machines & {"DC0_C0_RP0_VM1", "DC0_C0_RP0_VM2"}
    assert reply.value("vsphere_objects", kind="vm") is None


def test_a_collector_that_does_not_exist_is_the_configurations_fault(exporter: Exporter) -> None:
    reply = exporter.get("/metrics?target=127.0.0.1&collect=everything")
    assert reply.status == 400
    assert reply.text.startswith("collect[0]: ")


def test_a_vcenter_that_is_down_is_a_metric(exporter: Exporter) -> None:
    reply = scrape(exporter, target="localhost")
    assert reply.value("vpoller_target_up") == 0
    assert reply.value("vpoller_target_scrape_error", reason="unreachable") == 1


def test_a_vcenter_that_nobody_serves_is_a_metric(exporter: Exporter) -> None:
    reply = scrape(exporter, target="vc99")
    assert reply.value("vpoller_target_scrape_error", reason="unknown_host") == 1


def test_a_vcenter_that_is_slow_is_a_metric_in_time(vcenter: Simulator, exporter: Exporter) -> None:
    vcenter.delay(2.5, "RetrievePropertiesEx")
    try:
        reply = scrape(exporter, **{TIMEOUT: "1.5"})
    finally:
        vcenter.delay(0)
    assert reply.value("vpoller_target_scrape_error", reason="timeout") == 1
    eventually(lambda: scrape(exporter).value("vpoller_target_up"), "it answers again")


def test_scrapes_at_once_are_all_answered(exporter: Exporter) -> None:
    with ThreadPoolExecutor(12) as threads:
        replies = list(threads.map(lambda _: scrape(exporter, ALL), range(12)))
    assert [reply.value("vpoller_target_up") for reply in replies] == [1] * 12
    assert len({frozenset(reply.samples()) for reply in replies}) == 1
