"""The original vPoller's worker, as it is on PyPI, serves its tasks at our plain backend."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import toolchains
from tests.support.cli import Outcome, Vpoller, vpoller
from tests.support.fabric import Fabric, eventually, free_endpoints
from tests.support.inifile import vconnectors_database
from tests.support.req import Req, ask
from vpoller_like.cli.upstream.client import main as client_main

__all__ = ["vpoller"]

# Its installation may have to be waited for.
pytestmark = pytest.mark.timeout(330)

#: The host that its worker wants to have, and that is never connected to.
HOST = "vc01.example.org"
TASKS = """
from vpoller.task.decorators import task

@task(name="vm.get", required=["hostname", "name", "properties"])
def get(agent, msg):
    row = {"name": msg["name"], "runtime.powerState": "poweredOn"}
    return {"success": 0, "msg": "Successfully retrieved object properties", "result": [row]}

@task(name="our.broken", required=["hostname"])
def broken(agent, msg):
    return {"success": 1, "msg": "Cannot find object vm01"}
"""
SETTINGS = """
[worker]
db = {place}/vconnector.db
proxy = {proxy}
mgmt = {mgmt}
tasks = our_tasks
helpers = vpoller.helpers.zabbix,vpoller.helpers.cclient

[cache]
enabled = false
maxsize = 0
ttl = 3600
housekeeping = 480
"""
GET = {"method": "vm.get", "hostname": HOST, "name": "vm01", "properties": ["runtime.powerState"]}


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric({"grace_ms": 100}) as fabric, _ItsWorker(toolchains.original_worker(), fabric):
        eventually(lambda: _answers(fabric), "its worker answers")
        yield fabric


def _answers(fabric: Fabric) -> bool:
    return fabric.status()["plain_workers"] == 1 and ask(fabric.frontend, GET)["success"] == 0


class _ItsWorker:
    def __init__(self, programs: Path, fabric: Fabric) -> None:
        place = fabric.place
        vconnectors_database(place / "vconnector.db", HOST)
        (place / "our_tasks.py").write_text(TASKS)
        (mgmt,) = free_endpoints(1)
        config = place / "vpoller.conf"
        config.write_text(SETTINGS.format(place=place, proxy=fabric.plain, mgmt=mgmt))
        self._command = [str(programs / "vpoller-worker"), "-c", "1", "-f", str(config), "start"]
        # It was written for Pythons that did not warn of what it does.
        self._env = {**os.environ, "PYTHONPATH": str(place), "PYTHONWARNINGS": "ignore"}
        self._log = place / "original.log"

    def __enter__(self) -> None:
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                self._command, env=self._env, stdout=log, stderr=log, start_new_session=True
            )

    def __exit__(self, *_: object) -> None:
        # By SIGTERM it would leave its children behind.
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def _client(vpoller: Vpoller, fabric: Fabric, *options: str) -> Outcome:
    return vpoller.run(client_main, "-e", fabric.frontend, "-V", HOST, "-r", "1", *options)


def test_its_task_is_served_to_any_client(fabric: Fabric) -> None:
    reply = ask(fabric.frontend, GET)
    assert reply == {
        "success": 0,
        "msg": "Successfully retrieved object properties",
        "result": [{"name": "vm01", "runtime.powerState": "poweredOn"}],
    }


def test_its_failure_is_passed_on(fabric: Fabric) -> None:
    reply = ask(fabric.frontend, {"method": "our.broken", "hostname": HOST})
    assert reply == {"success": 1, "msg": "Cannot find object vm01"}


@pytest.mark.parametrize(
    ("helper", "end"), [("zabbix", b'"poweredOn"'), ("cclient", b'"poweredOn"}]}\0')]
)
def test_its_helpers_text_is_passed_on_as_it_is(fabric: Fabric, helper: str, end: bytes) -> None:
    with Req(fabric.frontend) as req:
        req.send({**GET, "helper": f"vpoller.helpers.{helper}"})
        assert req.receive_bytes().endswith(end)


def test_our_client_program_prints_its_reply(vpoller: Vpoller, fabric: Fabric) -> None:
    done = _client(vpoller, fabric, "-m", "vm.get", "-n", "vm01", "-p", "runtime.powerState")
    assert (done.code, done.err) == (0, "")
    assert '"result": [{"name": "vm01", "runtime.powerState": "poweredOn"}]' in done.out


def test_our_client_program_prints_its_helpers_text(vpoller: Vpoller, fabric: Fabric) -> None:
    options = ("-n", "vm01", "-p", "runtime.powerState", "-H", "vpoller.helpers.zabbix")
    done = _client(vpoller, fabric, "-m", "vm.get", *options)
    assert (done.code, done.out, done.err) == (0, '"poweredOn"\n', "")


def test_our_client_program_ends_with_its_failure(vpoller: Vpoller, fabric: Fabric) -> None:
    done = _client(vpoller, fabric, "-m", "our.broken")
    assert done.code == 1
    assert done.out == '{"success": 1, "msg": "Cannot find object vm01"}\n'


def test_a_worker_of_ours_and_its_worker_serve_side_by_side(fabric: Fabric) -> None:
    fabric.start_worker(agents="probe")
    for method in ("probe.quick", "vm.get"):
        assert ask(fabric.frontend, {**GET, "method": method})["success"] == 0
