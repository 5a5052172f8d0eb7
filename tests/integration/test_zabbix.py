"""Zabbix: its module's and its external check's requests, through a broker and a worker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgpack
import pytest

from tests.support import toolchains
from tests.support.fabric import ROOT, Fabric, eventually, free_endpoints
from tests.support.req import Req
from tests.support.vcsim import GUEST_PASSWORD, GUEST_USER, Simulator, running

pytest.importorskip("pyVmomi")

import yaml

from vpoller_like.agent import AgentHost
from vpoller_like.client import LocalClient, VPollerClient
from workers.vsphere import VSphereAgent
from workers.vsphere.helpers.shapes import Rows, Sample, Shape
from workers.vsphere.helpers.zabbix import SHAPES

CHECK = ROOT / "etc" / "zabbix" / "vpoller-check"
VM = "DC0_C0_RP0_VM0"
VMS = 3


class Scene(NamedTuple):
    fabric: Fabric
    vcenter: Simulator

    def ask(self, request: dict[str, Any] | bytes) -> bytes:
        with Req(self.fabric.frontend) as req:
            req.send(request)
            return req.receive_bytes()


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    place = tmp_path_factory.mktemp("zabbix")
    with running(vms=VMS, features=("off", "guests", "snapshots", "vsan", "alarms")) as vcenter:
        settings = place / "vpoller.toml"
        settings.write_text(vcenter.settings)
        settings.chmod(0o600)
        with Fabric(env={"VPOLLER_CONFIG": str(settings)}) as fabric:
            fabric.start_worker(agents="vsphere", threads=4)
            yield Scene(fabric, vcenter)


def from_module(scene: Scene, method: str, **fields: str) -> bytes:
    """Ask as vPoller's Zabbix module does: every field is a text."""
    said = {"hostname": scene.vcenter.host, **fields}
    absent = ("name", "key", "username", "password", "counter-name", "instance", "perf-interval")
    request = {
        "method": method,
        **dict.fromkeys(absent, "(null)"),
        "max-sample": "1",
        "helper": "czabbix",
        **said,
        "properties": [said.get("properties", "(null)")],
    }
    return scene.ask(request)


def from_c_client(scene: Scene, method: str, **fields: str) -> bytes:
    """Ask as vPoller's client in C does."""
    template = (
        '{{"method": "{method}", "hostname": "{hostname}", "name": "{name}", '
        '"properties": ["{properties}"], "key": "{key}", "username": "{username}", '
        '"password": "{password}", "counter-id": "{counter}", "instance": "{instance}", '
        '"perf-interval": "{interval}", "max-sample": "{samples}", "helper": "{helper}" }}'
    )
    names = re.findall(r"\{(\w+)\}", template)
    given = dict.fromkeys(names, "(null)") | {"helper": "vpoller.helpers.cclient"}
    given |= {"method": method, "hostname": scene.vcenter.host}
    return scene.ask(template.format(**{**given, **fields}).encode())


def test_the_module_discovers_virtual_machines(scene: Scene) -> None:
    reply = from_module(scene, "vm.discover")
    assert reply.endswith(b"\0")
    rows = json.loads(reply[:-1])["data"]
    assert {row["{#VSPHERE.VM.NAME}"] for row in rows} == {
        f"DC0_C0_RP0_VM{number}" for number in range(VMS)
    }


def test_the_module_gets_one_value(scene: Scene) -> None:
    def value(name: str) -> bytes:
        return from_module(scene, "vm.get", name=VM, properties=name)

    assert value("runtime.powerState") == b"poweredOn\0"
    assert int(value("config.hardware.numCPU")[:-1]) > 0
    assert value("runtime.host").startswith(b"HostSystem:")


def test_the_module_counts_processes(scene: Scene) -> None:
    guest = {"name": VM, "username": GUEST_USER, "password": GUEST_PASSWORD}
    everything = int(from_module(scene, "vm.process.get", **guest)[:-1])
    assert everything > 1
    assert from_module(scene, "vm.process.get", **guest, key="no such thing") == b"0\0"


def test_the_module_gets_a_performance_counter(scene: Scene) -> None:
    counter = {"name": VM, "counter-name": "cpu.usage.percent.average"}
    assert float(from_module(scene, "vm.perf.metric.get", **counter)[:-1]) >= 0


def test_the_module_is_told_what_is_wrong_in_words(scene: Scene) -> None:
    assert from_module(scene, "vm.get", name="nowhere", properties="name") == (
        b"Cannot find object nowhere\0"
    )
    assert from_module(scene, "vm.get", properties="name").startswith(b"name: missing")


def test_the_c_client_gets_the_whole_reply_and_a_nul(scene: Scene) -> None:
    reply = from_c_client(scene, "vm.get", name=VM, properties="runtime.powerState,name")
    assert reply.endswith(b"}\0")
    assert json.loads(reply[:-1])["result"] == [{"name": VM, "runtime.powerState": "poweredOn"}]
    failed = json.loads(from_c_client(scene, "vm.get", name="nowhere")[:-1])
    assert (failed["success"], failed["msg"]) == (1, "Cannot find object nowhere")


def test_the_c_client_names_a_counter_in_its_own_way(scene: Scene) -> None:
    asked = {"name": VM, "counter": "cpu.usage.percent.average", "samples": "2"}
    rows = json.loads(from_c_client(scene, "vm.perf.metric.get", **asked)[:-1])["result"]
    assert rows
    assert all(row["value"] >= 0 for row in rows)


def test_vpollers_own_program_prints_the_text(scene: Scene) -> None:
    program = toolchains.original_client() / "vpoller-client"
    options = ["-e", scene.fabric.frontend, "-V", scene.vcenter.host, "-t", "10000"]
    asked = ["-m", "vm.get", "-n", VM, "-p", "runtime.powerState", "-H", "vpoller.helpers.zabbix"]
    done = subprocess.run(
        [str(program), *options, *asked],
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "poweredOn\n", done.stderr


def test_a_hostname_that_is_not_set_is_the_only_one_there_is(scene: Scene) -> None:
    assert json.loads(from_c_client(scene, "about", hostname="(null)")[:-1])["success"] == 0


def test_an_unknown_helper_is_an_error(scene: Scene) -> None:
    asked = {"method": "vm.discover", "hostname": scene.vcenter.host, "helper": "zabix"}
    told = json.loads(scene.ask(asked))
    assert told["error"]["code"] == "invalid_params"
    assert told["error"]["field"] == "helper"
    assert "did you mean zabbix?" in told["msg"]


def test_other_clients_get_the_text_as_the_result(scene: Scene) -> None:
    asked = {"method": "vm.get", "name": VM, "properties": ["runtime.powerState"]}
    asked |= {"hostname": scene.vcenter.host, "helper": "vpoller.helpers.zabbix"}
    with VPollerClient(scene.fabric.frontend, timeout=20_000) as client:
        assert client.run(asked)["result"] == "poweredOn"
        assert [told["result"] for told in client.map([asked] * 3)] == ["poweredOn"] * 3
    assert scene.ask(asked) == b"poweredOn"
    assert msgpack.unpackb(scene.ask(msgpack.packb(asked))) == "poweredOn"
    ((index, reply),) = json.loads(scene.ask(json.dumps([asked]).encode()))
    assert (index, reply["result"]) == (0, "poweredOn")


def test_the_same_text_is_at_hand_without_a_broker(scene: Scene) -> None:
    vcenter = scene.vcenter
    agent = VSphereAgent(
        vcenter.user, vcenter.password, vcenter.host, vcenter.port, thumbprint=vcenter.sha256
    )
    asked = {"name": VM, "properties": ["runtime.powerState"], "helper": "zabbix"}
    with LocalClient([agent]) as client:
        assert agent.vm_get(asked)["result"] == "poweredOn"
        assert client.call("vm.get", **asked) == "poweredOn"
        host = AgentHost([agent])
        assert host.execute(json.dumps({"method": "vm.get", **asked}).encode()).body == b"poweredOn"


def test_a_spreadsheet_is_asked_for_by_either_name(scene: Scene) -> None:
    asked = {"method": "host.discover", "hostname": scene.vcenter.host}
    text = scene.ask({**asked, "helper": "csv"}).decode()
    assert text.splitlines()[0] == "name"
    assert scene.ask({**asked, "helper": "vpoller.helpers.csvhelper"}).decode() == text


#: An object of each kind, by what methods begin with.
NAMED = {
    "vm": VM,
    "host": "DC0_C0_H0",
    "vsan": "DC0_C0_H0",
    "cluster": "DC0_C0",
    "datacenter": "DC0",
    "datastore": "LocalDS_0",
    "net": "DC0_DVPG0",
    "resource": "Resources",
}
COUNTERS = {
    "datacenter": "vmop.numPoweron.number.latest",
    "datastore": "datastore.numberReadAveraged.number.average",
}
VALUES = {
    "about": r"VMware vCenter Server .+",
    "event.latest": "somebody was here",
    "host.cluster.get": "DC0_C0",
    "vm.host.get": r"DC0_C0_H\d",
    "vm.process.get": r"[1-9]\d*",
    "vm.disk.get": r"[1-9]\d+",
    "vm.cpu.usage.percent": r"\d+(\.\d+)?",
    "vsan.health.get": r"\w+",
}


def parameters(method: str) -> dict[str, Any]:
    """Return what is asked of the simulated vCenter by ``method``."""
    kind = method.partition(".")[0]
    asked: dict[str, Any] = {"name": NAMED.get(kind, ""), "properties": ["name"]}
    if method == "vm.process.get":
        asked |= {"username": GUEST_USER, "password": GUEST_PASSWORD}
    if method == "vm.disk.get":
        asked |= {"key": "/", "properties": ["capacity"]}
    if method in VALUES and method != "vm.disk.get":
        del asked["properties"]
    if method.endswith("perf.metric.get"):
        return {
            "name": asked["name"],
            "counter-name": COUNTERS.get(kind, "cpu.usage.percent.average"),
        }
    return asked


def test_all_methods_have_a_text_for_zabbix(scene: Scene) -> None:
    vcenter = scene.vcenter
    agent = VSphereAgent(
        vcenter.user, vcenter.password, vcenter.host, vcenter.port, thumbprint=vcenter.sha256
    )
    with LocalClient([agent]) as client:
        agent.connect()
        vcenter.event("GeneralUserEvent", VM, message="somebody was here")
        for method, shape in SHAPES.items():
            reply = client.run({"method": method, "helper": "zabbix", **parameters(method)})
            assert reply["success"] == 0, (method, reply["msg"])
            _is_for_zabbix(method, shape, reply["result"])


def _is_for_zabbix(method: str, shape: Shape, text: str) -> None:
    if isinstance(shape, Rows):
        prefix = (shape.prefix or method.rpartition(".")[0]).upper()
        rows = json.loads(text)["data"]
        # The simulator does not know which machines are in a port group.
        assert rows or method == "net.vm.get", method
        assert all(key.startswith(f"{{#VSPHERE.{prefix}.") for row in rows for key in row), method
    elif isinstance(shape, Sample):
        assert float(text) >= 0, method
    else:
        expected = VALUES.get(method) or re.escape(NAMED[method.partition(".")[0]])
        assert re.fullmatch(expected, text), (method, text)


# The external check ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def check() -> Callable[..., subprocess.CompletedProcess[str]]:
    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            [sys.executable, str(CHECK), *words],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


def usual(scene: Scene) -> list[str]:
    return ["-e", scene.fabric.frontend, "-t", "30000"]


def test_the_external_check_prints_the_value(scene: Scene, check: Any) -> None:
    host = scene.vcenter.host
    found = check(*usual(scene), "vm.get", host, VM, "runtime.powerState", "null")
    assert (found.returncode, found.stdout, found.stderr) == (0, "poweredOn\n", "")
    guest = ["vm.process.get", host, VM, "null", "null"]
    login = [f"username={GUEST_USER}", f"password={GUEST_PASSWORD}"]
    assert int(check(*usual(scene), *guest, *login).stdout) > 1
    many = check(*usual(scene), "--json", "vm.get", host, "null", "null", "null", 'names:=["*"]')
    assert len(json.loads(many.stdout)) == VMS


def test_the_external_check_writes_utf_8_in_any_locale() -> None:
    reply = {"success": 0, "result": "Zoë"}
    code = f"import runpy, sys; runpy.run_path(sys.argv[1])['show']({reply!a})"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", code, str(CHECK)]
    found = subprocess.run(command, env=environment, capture_output=True, check=True, timeout=60)
    assert found.stdout.decode() == "Zoë\n"


def test_the_external_check_says_what_went_wrong(scene: Scene, check: Any) -> None:
    failed = check(*usual(scene), "vm.get", scene.vcenter.host, "nowhere", "name")
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr == "Cannot find object nowhere\n"
    wrong = check(*usual(scene), "vm.get", scene.vcenter.host, VM, "name", "null", "what")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    (nobody,) = free_endpoints(1)
    alone = check("-e", nobody, "-t", "200", "vm.get", scene.vcenter.host)
    assert alone.returncode == 3
    assert "no broker could be reached" in alone.stderr


def test_the_external_check_ends_in_time(scene: Scene, check: Any) -> None:
    asked = ["-e", scene.fabric.frontend, "-t", "1000", "vm.discover", scene.vcenter.host]
    scene.vcenter.delay(4)
    try:
        late = check(*asked)
    finally:
        scene.vcenter.delay(0)
    assert late.returncode == 4
    assert late.stdout == ""
    eventually(lambda: check(*usual(scene), *asked[4:]).returncode == 0, "it answers again")


def test_every_check_of_the_template_is_answered(scene: Scene, check: Any) -> None:
    export = yaml.safe_load(Path(CHECK.parent, "template-vsphere.yaml").read_text())
    (template,) = export["zabbix_export"]["templates"]
    places = {
        "{$VPOLLER.ENDPOINT}": scene.fabric.frontend,
        "{$VPOLLER.TIMEOUT}": "30000",
        "{$VPOLLER.KEY}": "",
        "{$VPOLLER.SERVERKEY}": "",
        "{$VSPHERE.HOST}": scene.vcenter.host,
    }
    for element in [*template["items"], *template["discovery_rules"]]:
        if element["type"] != "EXTERNAL":
            continue
        words = [places.get(w[1:-1], w[1:-1]) for w in re.findall(r'"[^"]*"', element["key"])]
        found = check(*words)
        assert found.returncode == 0, (words, found.stderr)
        if "item_prototypes" in element:
            _has_all_macros(element, json.loads(found.stdout)["data"])
        elif "--json" in words:
            properties = {"name", *words[-1].split(",")}
            assert all(properties <= set(row) for row in json.loads(found.stdout))


def _has_all_macros(rule: dict[str, Any], rows: list[dict[str, Any]]) -> None:
    used = set(re.findall(r"\{#[A-Z0-9_.]+\}", json.dumps(rule)))
    assert rows
    assert all(used <= set(row) for row in rows)
