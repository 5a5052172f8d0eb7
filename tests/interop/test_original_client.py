"""The original vPoller's client, as it is on PyPI, gets its answers from our broker."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support import toolchains
from tests.support.fabric import Fabric

NODE_NAME = platform.node()
#: Runs the client class on a request and prints what it returns, a JSON text.
SCRIPT = """\
import json, sys
from vpoller.client import VPollerClient
client = VPollerClient(endpoint=sys.argv[1], timeout=10000, retries=1)
reply = client.run(json.loads(sys.argv[2]))
assert isinstance(reply, str), type(reply)
print(reply)
"""


@pytest.fixture(scope="module")
def original() -> Path:
    return toolchains.original_client()


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric({"grace_ms": 100}) as fabric:
        fabric.start_worker(processes=1, threads=2, agents="system")
        yield fabric


def _output(*command: object) -> dict[str, Any]:
    # The client was written for Pythons that did not warn of what it does.
    done = subprocess.run(
        [str(word) for word in command],
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    reply: dict[str, Any] = json.loads(done.stdout)
    return reply


def _run(original: Path, fabric: Fabric, **message: object) -> dict[str, Any]:
    return _output(original / "python", "-c", SCRIPT, fabric.frontend, json.dumps(message))


def _cli(
    original: Path, fabric: Fabric, *options: str, hostname: str = NODE_NAME
) -> dict[str, Any]:
    program = original / "vpoller-client"
    return _output(program, "-e", fabric.frontend, "-V", hostname, "-r", "1", *options)


def test_its_class_gets_a_result(original: Path, fabric: Fabric) -> None:
    reply = _run(original, fabric, method="system.echo", hostname=NODE_NAME, data=["é", {"a": 1}])
    assert (reply["success"], reply["result"]) == (0, ["é", {"a": 1}])


def test_its_class_asks_how_the_broker_is(original: Path, fabric: Fabric) -> None:
    # So do vpoller-proxy's status and stop; that program wants a file in /etc to be there.
    reply = _output(original / "python", "-c", SCRIPT, fabric.admin, '{"method": "status"}')
    assert (reply["success"], reply["result"]["pid"]) == (0, fabric.broker_pid)


def test_its_class_gets_an_error_with_a_reason(original: Path, fabric: Fabric) -> None:
    reply = _run(original, fabric, method="vm.discover", hostname=NODE_NAME)
    assert (reply["success"], reply["error"]["code"]) == (1, "unknown_method")
    assert "vm.discover" in reply["msg"]


def test_its_program_gets_facts_about_this_machine(original: Path, fabric: Fabric) -> None:
    reply = _cli(original, fabric, "-m", "system.status")
    assert reply["success"] == 0
    assert reply["result"]["host"]["name"] == NODE_NAME


def test_its_unset_options_are_no_parameters(original: Path, fabric: Fabric) -> None:
    # It sends all of its twelve keys, null where an option was not given.
    reply = _cli(original, fabric, "-m", "system.process.list")
    assert os.getpid() in {process["pid"] for process in reply["result"]}


def test_its_options_are_parameters(original: Path, fabric: Fabric) -> None:
    reply = _cli(original, fabric, "-m", "system.process.list", "-n", "python")
    names = {process["name"].lower() for process in reply["result"]}
    assert names
    assert all("python" in name for name in names)


def test_a_hostname_that_nobody_serves_is_named(original: Path, fabric: Fabric) -> None:
    reply = _cli(original, fabric, "-m", "system.status", hostname="vc01.example.org")
    assert (reply["success"], reply["error"]["code"]) == (1, "unknown_host")
    assert "vc01.example.org" in reply["msg"]
