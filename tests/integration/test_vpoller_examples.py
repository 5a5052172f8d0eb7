"""The programs of vPoller's users run here with the imports' names changed.

They are those of vPoller's page on its API: a discovery, a client with its own
retries, a property, and the same without a broker.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support import vcsim
from tests.support.fabric import Fabric

pytest.importorskip("pyVmomi")

VMS = 1000


@pytest.fixture(scope="module")
def vcenter() -> Iterator[vcsim.Simulator]:
    with vcsim.running(vms=VMS) as simulator:
        yield simulator


@pytest.fixture(scope="module")
def fabric(vcenter: vcsim.Simulator) -> Iterator[Fabric]:
    with Fabric() as fabric:
        (fabric.place / "vpoller.toml").write_text(vcenter.settings)
        fabric.start_worker(processes=2, threads=2, agents="system,vsphere")
        yield fabric


def printed(fabric: Fabric, program: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=fabric.env,
        cwd=fabric.place,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_discovery(fabric: Fabric, vcenter: vcsim.Simulator) -> None:
    program = f"""
from vpoller_like.client import VPollerClient
msg = {{'method': 'vm.discover', 'hostname': '{vcenter.host}'}}
client = VPollerClient(endpoint='{fabric.frontend}')
result = client.run(msg)
print(len(result['result']), result['success'])
"""
    assert printed(fabric, program).split() == [str(VMS), "0"]


def test_a_client_with_its_own_retries(fabric: Fabric, vcenter: vcsim.Simulator) -> None:
    program = f"""
from vpoller_like.client import VPollerClient
client = VPollerClient(
    endpoint='{fabric.frontend}',
    retries=1,
    timeout=10000
)
print(client.run({{'method': 'about', 'hostname': '{vcenter.host}'}})['result'][0]['apiType'])
"""
    assert printed(fabric, program) == "VirtualCenter\n"


def test_a_property_of_a_virtual_machine(fabric: Fabric, vcenter: vcsim.Simulator) -> None:
    program = f"""
import json
from vpoller_like.client import VPollerClient
msg = {{
    'method': 'vm.get',
    'hostname': '{vcenter.host}',
    'name': 'DC0_C0_RP0_VM0',
    'properties': ['name', 'runtime.powerState']
}}
client = VPollerClient(endpoint='{fabric.frontend}')
result = client.run(msg)
print(json.dumps(result, indent=4))
"""
    reply = json.loads(printed(fabric, program))
    assert reply.pop("meta")["attempts"] == 1
    assert reply == {
        "msg": "Successfully retrieved object properties",
        "result": [{"runtime.powerState": "poweredOn", "name": "DC0_C0_RP0_VM0"}],
        "success": 0,
    }


def test_the_same_without_a_broker(fabric: Fabric, vcenter: vcsim.Simulator) -> None:
    program = f"""
from workers.vsphere import VSphereAgent
agent = VSphereAgent(
    user='{vcenter.user}',
    pwd='{vcenter.password}',
    host='{vcenter.host}', port={vcenter.port}, thumbprint='{vcenter.sha256}'
)
agent.connect()
result = agent.vm_discover(msg={{}})
print(len(result['result']), result['success'])
agent.disconnect()
"""
    assert printed(fabric, program).split() == [str(VMS), "0"]
