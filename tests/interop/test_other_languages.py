"""Programs in other languages ask through a REQ socket, with no library of ours."""

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
from tests.support.fabric import Fabric, eventually

HERE = Path(__file__).parent
NODE_NAME = platform.node()
#: Beyond ASCII, of every type, and nested.
DATA: dict[str, Any] = {
    "text": "Grüße, 世界 \U0001f600",
    "numbers": [0, -1.5, 1e300],
    "none": None,
    "deep": [[{}]],
}

Program = tuple[list[str], dict[str, str]]


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric() as fabric:
        fabric.start_worker(processes=1, threads=2, agents="system,probe")
        yield fabric


def _program(language: str) -> Program:
    """Return a command and its environment; skip where the language is not here."""
    if language == "Ruby":
        return [toolchains.ruby(), str(HERE / "ask.rb")], dict(os.environ)
    if language == "Node":
        program, env = toolchains.node()
        return [program, str(HERE / "ask.mjs")], env
    return [toolchains.compiled(HERE / "ask.c")], dict(os.environ)


@pytest.fixture(params=["Ruby", "Node", "C"])
def program(request: pytest.FixtureRequest) -> Program:
    return _program(request.param)


def _run(program: Program, endpoint: str, *requests: object) -> subprocess.CompletedProcess[str]:
    command, env = program
    texts = [json.dumps(request) for request in requests]
    return subprocess.run(
        [*command, endpoint, *texts], env=env, capture_output=True, text=True, timeout=60
    )


def _answers(program: Program, endpoint: str, *requests: object) -> list[dict[str, Any]]:
    done = _run(program, endpoint, *requests)
    assert not done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_any_json_comes_back_unchanged(fabric: Fabric, program: Program) -> None:
    (reply,) = _answers(program, fabric.frontend, {"method": "system.echo", "data": DATA})
    assert (reply["success"], reply["result"]) == (0, DATA)


def test_facts_about_this_machine_arrive(fabric: Fabric, program: Program) -> None:
    request = {"method": "system.process.list", "hostname": NODE_NAME}
    (reply,) = _answers(program, fabric.frontend, request)
    pids = {process["pid"] for process in reply["result"]}
    assert {os.getpid(), fabric.broker_pid} <= pids


def test_one_socket_asks_again_and_again(fabric: Fabric, program: Program) -> None:
    requests = [{"method": "system.echo", "data": number} for number in range(5)]
    replies = _answers(program, fabric.frontend, *requests)
    assert [reply["result"] for reply in replies] == [0, 1, 2, 3, 4]


def test_an_error_names_its_code(fabric: Fabric, program: Program) -> None:
    requests = [{"method": "no.such"}, {"method": "system.sleep", "seconds": "long"}, 7]
    if "ask.mjs" in program[0][-1]:
        requests.pop()  # It puts a meta into each request, for which it needs an object.
    eventually(lambda: fabric.status()["uptime_s"] > 2, "methods are not waited for any more")
    replies = _answers(program, fabric.frontend, *requests)
    codes = [reply["error"]["code"] for reply in replies]
    assert codes == ["unknown_method", "invalid_params", "bad_request"][: len(requests)]


@pytest.mark.parametrize("language", ["Ruby", "Node"])
def test_the_exit_code_tells_success_from_failure(fabric: Fabric, language: str) -> None:
    program = _program(language)
    assert _run(program, fabric.frontend, {"method": "system.echo"}).returncode == 0
    wrong = {"method": "system.sleep", "seconds": "long"}
    assert _run(program, fabric.frontend, wrong).returncode == 1


def test_a_retry_from_node_survives_the_broker_and_does_not_run_the_task_again(
    tmp_path: Path,
) -> None:
    command, env = _program("Node")
    traces = tmp_path / "traces"
    request = {"method": "probe.count", "file": str(traces), "seconds": 2}
    with Fabric() as fabric:
        fabric.start_worker(agents="probe")
        asking = subprocess.Popen(
            [*command, fabric.frontend, json.dumps(request)],
            env={**env, "TRIES": "10", "TIMEOUT_MS": "1500"},
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            eventually(traces.exists, "the task runs")
            fabric.restart_broker()
            out, _ = asking.communicate(timeout=30)
        finally:
            asking.kill()
            asking.wait()
    pids = traces.read_text().split()
    assert pids == [str(json.loads(out)["result"]["pid"])]
