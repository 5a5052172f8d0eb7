"""``vpoller`` as its users run it: a program of its own, against a broker and workers."""

from __future__ import annotations

import json
import os
import platform
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tests.support.fabric import Fabric, eventually, free_endpoints

VPOLLER = (sys.executable, "-m", "vpoller_like.cli")


class Ran(msgspec.Struct, frozen=True):
    """What a program left."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric(broker={"grace_ms": 100}) as fabric:
        fabric.start_worker(processes=1, threads=2, agents="system")
        yield fabric


@pytest.fixture
def environment(fabric: Fabric) -> dict[str, str]:
    """The settings of a user of this fabric."""
    return fabric.env | {
        "VPOLLER_CLIENT_ENDPOINTS": fabric.frontend,
        "VPOLLER_CLIENT_ADMIN": fabric.admin,
        "VPOLLER_CLIENT_TIMEOUT": "10000",
    }


def _vpoller(environment: dict[str, str], *arguments: str, stdin: str | None = None) -> Ran:
    ran = subprocess.run(
        [*VPOLLER, *arguments],
        env=environment,
        input=stdin if stdin is not None else "",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def test_a_result_is_on_stdout_alone_and_the_exit_code_is_0(environment: dict[str, str]) -> None:
    ran = _vpoller(environment, "call", "system.echo", 'data:={"a": [1, null, "ä"]}')
    assert (ran.code, ran.err) == (0, "")
    assert ran.data == {"a": [1, None, "ä"]}


def test_facts_about_this_machine(environment: dict[str, str]) -> None:
    ran = _vpoller(environment, "call", "system.status", "-o", "yaml")
    assert yaml.safe_load(ran.out)["host"]["name"] == platform.node()


def test_the_host_is_named(environment: dict[str, str]) -> None:
    ran = _vpoller(environment, "call", "system.echo", "-H", platform.node(), "data=x")
    assert ran.data == "x"


def test_parameters_come_from_stdin_too(environment: dict[str, str]) -> None:
    assert _vpoller(environment, "call", "system.echo", stdin='{"data": [1]}').data == [1]
    request = '{"method": "system.echo", "data": 2}'
    assert _vpoller(environment, "call", "-", stdin=request).data == 2


def test_a_table_on_a_terminal(environment: dict[str, str]) -> None:
    terminal, end = pty.openpty()
    with os.fdopen(terminal, "rb") as screen:
        subprocess.run(
            [*VPOLLER, "call", "system.echo", 'data:=[{"name": "x", "n": 1}]'],
            env=environment | {"NO_COLOR": "1"},
            stdin=subprocess.DEVNULL,
            stdout=end,
            timeout=60,
            check=True,
        )
        os.close(end)
        lines = [screen.readline().decode().split() for _ in range(2)]
    assert lines == [["name", "n"], ["x", "1"]]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["system.disk.get", "path=/no/such/place"], 1, "/no/such/place"),
        (["system.sleep", "seconds=long"], 1, "seconds"),
        (["system.echo", "n:=x"], 2, "not JSON"),
        (["system.ecko"], 5, "system.ecko"),
        (["system.echo", "-H", "elsewhere"], 5, "elsewhere"),
        (["system.sleep", "seconds:=20", "--timeout", "300", "--retries", "1"], 4, "0.3 s"),
    ],
)
def test_a_failure_has_its_exit_code_and_one_sentence(
    environment: dict[str, str], arguments: list[str], code: int, said: str
) -> None:
    ran = _vpoller(environment, "call", *arguments)
    assert (ran.code, ran.out) == (code, ""), ran.err
    last = ran.err.splitlines()[-1]
    assert last.startswith("Error: ")
    assert said in last


def test_a_broker_that_is_not_there_exits_3(environment: dict[str, str]) -> None:
    (nowhere,) = free_endpoints(1)
    ran = _vpoller(
        environment, "call", "m", "--endpoint", nowhere, "--timeout", "200", "--retries", "1"
    )
    assert (ran.code, ran.out) == (3, "")
    assert nowhere in ran.err


def test_ctrl_c_exits_130(environment: dict[str, str], fabric: Fabric) -> None:
    running = subprocess.Popen(
        [*VPOLLER, "call", "system.sleep", "seconds:=20"],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    before = fabric.status()["running"]
    eventually(lambda: fabric.status()["running"] > before, "the request has arrived")
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=30)
    assert (running.returncode, out) == (130, b"")
    assert b"Traceback" not in err


def test_the_broker_is_looked_at(environment: dict[str, str], fabric: Fabric) -> None:
    status = _vpoller(environment, "status").data
    assert status["pid"] == fabric.broker_pid
    (worker,) = _vpoller(environment, "workers").data
    assert worker["pid"] in fabric.worker_pids()
    methods = {method["method"] for method in _vpoller(environment, "methods").data}
    assert methods == fabric.methods()
    echo = _vpoller(environment, "methods", "system.echo").data
    assert [parameter["name"] for parameter in echo["params"]] == ["data"]
    assert _vpoller(environment, "methods", "system.ecko").code == 5


@pytest.mark.parametrize("verb", ["status", "workers", "methods"])
def test_each_look_has_a_table(environment: dict[str, str], verb: str) -> None:
    ran = _vpoller(environment, verb, "-o", "table")
    assert (ran.code, ran.err) == (0, "")
    assert len(ran.out.splitlines()) > 1


def test_local_needs_no_broker(environment: dict[str, str]) -> None:
    (nowhere,) = free_endpoints(1)
    ran = _vpoller(environment, "call", "system.echo", "data=x", "--local", "--endpoint", nowhere)
    assert (ran.code, ran.data) == (0, "x")


def test_an_agent_that_is_not_installed_is_named(environment: dict[str, str]) -> None:
    ran = _vpoller(environment, "call", "m", "--local", "--agents", "sytem")
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("Error: ")
    assert "sytem" in ran.err


def test_a_broker_whose_address_is_taken_says_so_and_exits_1(
    environment: dict[str, str], fabric: Fabric, tmp_path: Path
) -> None:
    options = [f"--{door}=ipc://{tmp_path}/{door}" for door in ("backend", "plain", "admin")]
    ran = _vpoller(environment, "broker", "run", "--frontend", fabric.frontend, *options)
    assert (ran.code, ran.out) == (1, "")
    assert fabric.frontend in ran.err
    assert "in use" in ran.err


def test_broker_stop_ends_the_broker() -> None:
    with Fabric() as fabric:
        ran = _vpoller(fabric.env, "broker", "stop", "--admin", fabric.admin)
        assert (ran.code, ran.out) == (0, "")
        assert fabric.broker.wait() == 0
