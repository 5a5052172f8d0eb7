"""``vpoller call`` as a program: its exit codes, and what it writes where."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.fabric import Fabric, eventually, free_endpoints

NODE_NAME = platform.node()
Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric() as fabric:
        fabric.start_worker(processes=1, threads=2, agents="system")
        eventually(lambda: fabric.status()["uptime_s"] > 2.1, "the broker's first seconds pass")
        yield fabric


def _call(fabric: Fabric, *arguments: str, endpoint: str = "", stdin: str = "") -> Done:
    command = [sys.executable, "-m", "vpoller_like.cli", "call", *arguments]
    return subprocess.run(
        [*command, "--endpoint", endpoint or fabric.frontend],
        env=fabric.env,
        cwd=fabric.place,
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_a_success_is_0_and_its_result_alone_is_on_stdout(fabric: Fabric) -> None:
    done = _call(fabric, "system.echo", 'data:={"a": [1, null, "é"]}', "-o", "json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {"a": [1, None, "é"]}


def test_parameters_may_come_on_stdin(fabric: Fabric) -> None:
    done = _call(fabric, "system.echo", "-o", "json", stdin='{"data": 7}')
    assert (done.returncode, json.loads(done.stdout)) == (0, 7)


def test_facts_about_this_machine_are_printed(fabric: Fabric) -> None:
    done = _call(fabric, "system.status", "-H", NODE_NAME, "-o", "json")
    assert json.loads(done.stdout)["host"]["name"] == NODE_NAME


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["system.sleep", "seconds=long"], 1, "seconds"),
        (["system.sleep", "no parameter"], 2, "no parameter"),
        (["system.sleep", "--no-such-option"], 2, "--no-such-option"),
        (["system.sleep", "seconds:=3", "--timeout", "300", "--retries", "2"], 4, "0.6 s"),
        (["no.such.method"], 5, "no.such.method"),
        (["system.status", "-H", "no.such.host"], 5, "no.such.host"),
    ],
)
def test_a_failure_has_its_exit_code_and_is_told_on_stderr(
    fabric: Fabric, arguments: list[str], code: int, word: str
) -> None:
    done = _call(fabric, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert word in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unreachable_broker_is_3_and_says_what_was_tried(fabric: Fabric) -> None:
    (nobody,) = free_endpoints(1)
    done = _call(fabric, "system.status", "--timeout", "200", "--retries", "2", endpoint=nobody)
    assert (done.returncode, done.stdout) == (3, "")
    assert nobody in done.stderr
