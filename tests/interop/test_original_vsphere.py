"""The original vPoller's client and ours ask a vCenter through our broker and worker."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.support import toolchains, vcsim
from tests.support.cli import Vpoller, vpoller
from tests.support.fabric import Fabric
from vpoller_like.cli.upstream.client import main as ours

__all__ = ["vpoller"]

pytest.importorskip("pyVmomi")

VMS = 5
#: Runs the client class on a request and prints what it returns, a JSON text.
SCRIPT = """\
import json, sys
from vpoller.client import VPollerClient
print(VPollerClient(endpoint=sys.argv[1], timeout=10000, retries=1).run(json.loads(sys.argv[2])))
"""


@pytest.fixture(scope="module")
def original() -> Path:
    return toolchains.original_client()


@pytest.fixture(scope="module")
def vcenter() -> Iterator[vcsim.Simulator]:
    with vcsim.running(vms=VMS) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def fabric(vcenter: vcsim.Simulator) -> Iterator[Fabric]:
    with Fabric({"grace_ms": 100}) as fabric:
        (fabric.place / "vpoller.toml").write_text(vcenter.settings)
        fabric.start_worker(processes=1, threads=2, agents="vsphere")
        yield fabric


class Programs:
    """Both ``vpoller-client`` programs, asking the same."""

    def __init__(self, original: Path, vpoller: Vpoller, fabric: Fabric, host: str) -> None:
        self._original, self._vpoller = original, vpoller
        self._fabric, self._host = fabric, host

    def theirs(self, *options: str) -> str:
        return self._done([str(self._original / "vpoller-client"), *self._words(options)]).stdout

    def ours(self, *options: str) -> str:
        return self._vpoller.run(ours, *self._words(options)).out

    def both(self, *options: str) -> str:
        """Return what both print, which is the same text."""
        theirs, ours = self.theirs(*options), self.ours(*options)
        assert _read(ours) == _read(theirs)
        return theirs

    def ask(self, *options: str) -> Any:
        reply = _read(self.both(*options))
        assert reply["success"] == 0, reply
        return reply["result"]

    def run_class(self, **message: object) -> dict[str, Any]:
        program = [str(self._original / "python"), "-c", SCRIPT, self._fabric.frontend]
        done = self._done([*program, json.dumps({"hostname": self._host, **message})])
        reply: dict[str, Any] = json.loads(done.stdout)
        return reply

    def _words(self, options: Sequence[str]) -> list[str]:
        return ["-e", self._fabric.frontend, "-V", self._host, "-r", "1", *options]

    def _done(self, command: Sequence[str]) -> subprocess.CompletedProcess[str]:
        # The client was written for Pythons that did not warn of what it does.
        env = {**self._fabric.env, "PYTHONWARNINGS": "ignore"}
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
        assert "Traceback" not in done.stderr
        return done


def _read(text: str) -> Any:
    """Read a reply's JSON; a text that is none is the reply."""
    try:
        return json.loads(text)
    except ValueError:
        return text


@pytest.fixture
def programs(
    original: Path, vpoller: Vpoller, fabric: Fabric, vcenter: vcsim.Simulator
) -> Programs:
    return Programs(original, vpoller, fabric, vcenter.host)


def test_machines_are_discovered(programs: Programs) -> None:
    rows = programs.ask("-m", "vm.discover", "-p", "runtime.powerState")
    assert len(rows) == VMS
    assert {row["runtime.powerState"] for row in rows} == {"poweredOn"}


def test_a_machine_is_asked_for_properties(programs: Programs) -> None:
    options = ("-n", "DC0_C0_RP0_VM1", "-p", "runtime.powerState,config.hardware.memoryMB")
    (row,) = programs.ask("-m", "vm.get", *options)
    assert list(row) == ["name", "runtime.powerState", "config.hardware.memoryMB"]


def test_the_vcenter_tells_about_itself(programs: Programs) -> None:
    (row,) = programs.ask("-m", "about")
    assert row["apiType"] == "VirtualCenter"


@pytest.mark.parametrize("method", ["cluster", "datastore"])
def test_what_is_there_is_discovered_and_got(programs: Programs, method: str) -> None:
    row = programs.ask("-m", f"{method}.discover")[0]
    name = row.get("info.url", row["name"])
    assert programs.ask("-m", f"{method}.get", "-n", name)[0]["name"] == row["name"]


def test_a_machine_that_is_not_there_is_said_in_vpollers_words(programs: Programs) -> None:
    reply = _read(programs.both("-m", "vm.get", "-n", "nowhere"))
    assert (reply["success"], reply["msg"]) == (1, "Cannot find object nowhere")


def test_a_property_in_a_helpers_text(programs: Programs) -> None:
    words = ("-n", "DC0_C0_RP0_VM1", "-p", "summary.config.numCpu")
    assert programs.both("-m", "vm.get", *words, "-H", "vpoller.helpers.zabbix") == "1\n"
    assert programs.both("-m", "vm.get", *words, "-H", "vpoller.helpers.czabbix") == "1\0\n"


def test_a_discovery_in_a_helpers_text(programs: Programs) -> None:
    found = json.loads(programs.both("-m", "vm.discover", "-H", "vpoller.helpers.zabbix"))
    assert {tuple(row) for row in found["data"]} == {("{#VSPHERE.VM.NAME}",)}
    assert len(found["data"]) == VMS


def test_a_failure_in_a_helpers_text(programs: Programs) -> None:
    words = ("-n", "nowhere", "-p", "name", "-H", "vpoller.helpers.zabbix")
    assert programs.both("-m", "vm.get", *words) == "Cannot find object nowhere\n"


def test_its_class_gets_what_its_program_gets(programs: Programs) -> None:
    asked = programs.run_class(method="vm.get", name="DC0_C0_RP0_VM1", properties=["name"])
    assert asked["result"] == [{"name": "DC0_C0_RP0_VM1"}]
    # What the Zabbix module and the C client leave unset.
    unset = {"properties": "(null)", "key": "null", "counter-name": "", "helper": None}
    assert programs.run_class(method="vm.get", name="DC0_C0_RP0_VM1", **unset) == asked
