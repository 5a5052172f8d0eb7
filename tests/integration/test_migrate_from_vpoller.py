"""The way of docs/howto/migrate-from-vpoller.rst, gone with a simulated vCenter."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support import vcsim
from tests.support.fabric import eventually
from tests.support.inifile import vconnectors_database
from tests.support.req import ask
from tests.support.upstream_site import Site

pytest.importorskip("pyVmomi")

VMS = 4


@pytest.fixture(scope="module")
def vcenter() -> Iterator[vcsim.Simulator]:
    with vcsim.running(vms=VMS) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def site(vcenter: vcsim.Simulator, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    place = tmp_path_factory.mktemp("site")
    database = vconnectors_database(
        place / "vconnector.db", vcenter.host, vcenter.user, vcenter.password
    )
    site = Site(place, f"db = {database}\nhelpers = vpoller.helpers.zabbix\n")
    try:
        site.start("proxy")
        site.start("worker", "-c", "1")
        yield site
    finally:
        site.end()


def test_the_hosts_are_taken_over_while_proxy_and_worker_run(
    site: Site, vcenter: vcsim.Simulator
) -> None:
    taken = site.vpoller(
        "host", "import", str(site.place / "vconnector.db"), "--thumbprint", vcenter.sha256
    )
    assert taken.code == 0, taken.err
    # A simulator has not the port of a vCenter.
    moved = site.vpoller("host", "add", vcenter.host, "--replace", "--port", str(vcenter.port))
    assert moved.code == 0, moved.err
    request = {"method": "vm.discover", "hostname": vcenter.host}
    eventually(lambda: not ask(site.frontend, request)["success"], "the worker has seen them")
    assert len(site.ask("-m", "vm.discover", "-V", vcenter.host).data["result"]) == VMS


def test_the_worker_says_how_its_database_is_taken_over(site: Site) -> None:
    log = (site.place / "worker.log").read_text()
    assert f"`vpoller host import {site.place / 'vconnector.db'}`" in log
