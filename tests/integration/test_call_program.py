"""``vpoller call`` as a program: its exit codes, and what it writes where."""

from __future__ import annotations

import json
import os
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


#: What a call does without: much of it takes as long to load as all that is ours.
NOT_NEEDED = (
    "asyncio",
    "concurrent",
    "ctypes",
    "dataclasses",
    "difflib",
    "email",
    "hashlib",
    "importlib.metadata",
    "logging",
    "msgpack",
    "multiprocessing",
    "psutil",
    "rich",
    "socket",
    "subprocess",
    "tempfile",
    "tomllib",
    "vpoller_like.agent",
    "vpoller_like.broker",
    "vpoller_like.client.aio",
    "vpoller_like.client.local",
    "vpoller_like.worker",
    "yaml",
)


def test_a_call_loads_nothing_that_it_does_not_need(fabric: Fabric) -> None:
    """Of all that it takes until a request is sent, most is loading modules."""
    program = (
        "import sys\n"
        "from vpoller_like.cli.start import main\n"
        "code = main(sys.argv[1:])\n"
        "print(*sys.modules, file=sys.stderr)\n"
        "sys.exit(code)"
    )
    # No short option: for one, click looks for long ones like it, and loads difflib for that.
    words = ["call", "system.echo", "data:=1", "--output", "json", "--endpoint", fabric.frontend]
    done = subprocess.run(
        # Without site: packages of the machine may load what they like at every start.
        [sys.executable, "-S", "-c", program, *words, "--no-stdin"],
        env=fabric.env | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
        cwd=fabric.place,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "1\n")
    loaded = done.stderr.split()
    assert "vpoller_like.client.sync" in loaded
    surplus = {
        name for name in loaded for whole in NOT_NEEDED if f"{name}.".startswith(f"{whole}.")
    }
    assert surplus == set()
