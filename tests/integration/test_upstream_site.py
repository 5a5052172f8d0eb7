"""vPoller's programs on the new code, as processes: an INI file, a proxy, a worker, a client."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq

from tests.support.fabric import free_endpoints
from tests.support.upstream_site import Site

NODE = platform.node()
#: There is no vCenter here, and this machine does as well.
SYSTEM = {"VPOLLER_WORKER_AGENTS": "system"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"), env=SYSTEM)
    try:
        site.start_both()
        yield site
    finally:
        site.end()


def test_the_client_gets_its_answer(site: Site) -> None:
    ran = site.ask("-m", "system.process.list", "-V", NODE, "-n", "python")
    assert (ran.code, ran.err) == (0, "")
    assert set(ran.data) == {"success", "msg", "result"}
    assert all("python" in process["name"].lower() for process in ran.data["result"])


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["-m", "system.disk.get", "-V", NODE], 1),
        (["-m", "system.status", "-V", "vc99"], 5),
        (["-m", "vm.get", "-V", NODE], 5),
    ],
)
def test_its_exit_code_tells_what_went_wrong(site: Site, words: list[str], code: int) -> None:
    ran = site.ask(*words)
    assert ran.code == code
    assert ran.err
    assert ran.data["success"] == 1


def test_nobody_there_is_3_and_said_as_vpoller_does(site: Site) -> None:
    (nowhere,) = free_endpoints(1)
    ran = site.run("client", "-m", "x", "-V", "y", "-e", nowhere, "-t", "200", "-r", "1")
    assert ran.code == 3
    assert ran.data["msg"] == "Did not receive response, aborting..."


def test_no_answer_in_time_is_4(site: Site) -> None:
    with zmq.Context.instance().socket(zmq.ROUTER) as silent:
        port = silent.bind_to_random_port("tcp://127.0.0.1")
        endpoint = f"tcp://127.0.0.1:{port}"
        ran = site.run("client", "-m", "x", "-V", "y", "-e", endpoint, "-t", "300", "-r", "1")
    assert ran.code == 4
    assert ran.data["msg"] == "Did not receive response, aborting..."


def test_a_guests_password_is_in_no_log(site: Site) -> None:
    words = ("-m", "system.process.list", "-V", NODE, "-U", "root", "-P", "s3cret-word")
    ran = site.ask(*words, "-d")
    assert "'password': '***'" in ran.err
    assert "s3cret-word" not in ran.err
    assert "s3cret-word" not in "".join(path.read_text() for path in site.place.glob("*.log"))


def test_the_file_is_told_of_line_by_line(site: Site) -> None:
    proxy = (site.place / "proxy.log").read_text()
    assert f"{site.file}:2: [proxy] frontend = {site.frontend} is broker.frontend" in proxy
    assert "[worker]" not in proxy
    worker = (site.place / "worker.log").read_text()
    assert f"{site.file}:7: [worker] proxy = {site.backend} is worker.backends" in worker
    assert "[proxy]" not in worker


def test_proxy_and_worker_tell_how_they_are(site: Site) -> None:
    ran = site.run("proxy", "-e", site.mgmt, "status")
    assert (ran.code, ran.data["success"]) == (0, 0)
    told = ran.data["result"]
    assert (told["status"], told["mgmt"]) == ("running", site.mgmt)
    assert (told["frontend"], told["backend"]) == (site.frontend, site.backend)
    ran = site.run("worker", "-e", site.mgmt, "status")
    assert ran.code == 0
    assert (ran.data["result"]["status"], ran.data["result"]["concurrency"]) == ("running", 1)


def test_both_are_stopped_by_their_programs(tmp_path: Path) -> None:
    site = Site(tmp_path, env=SYSTEM)
    proxy, worker = site.start_both()
    try:
        assert site.run("worker", "-e", site.mgmt, "stop").code == 0
        assert worker.wait() == 0
        assert site.run("worker", "-e", site.mgmt, "stop").code == 5
        assert site.run("proxy", "-e", site.mgmt, "stop").code == 0
        assert proxy.wait() == 0
    finally:
        site.end()
