"""The kill loop, shortly: it finds nothing in the product, and what is planted."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

LOOP = Path(__file__).resolve().parents[1] / "faults" / "kill_loop.py"
SHORT = ["--requests=1200", "--rate=400", "--worker-every=0.5", "--again-within=2", "--slow=0.12"]
SMALL = ["--supervisors=1", "--processes=4", "--askers=1"]
#: So that it ends soon on a machine that is slow to restart what was killed, too.
FEW = ["--most-worker-kills=12", "--most-broker-kills=3"]


def _run(*words: str) -> tuple[int, str]:
    command = [sys.executable, str(LOOP), *SHORT, *SMALL, *FEW, *words]
    loop = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        said, _ = loop.communicate()
    finally:
        # It ends what it has started; to kill it would leave that behind.
        loop.terminate()
        loop.wait(60)
    return loop.returncode, said


def test_killed_workers_and_brokers_lose_and_change_nothing() -> None:
    code, said = _run("--broker-every=2.5", "--patience=60")
    assert code == 0, said


@pytest.mark.parametrize(
    ("fault", "promise", "words"),
    [
        # A client whose broker dies asks the next one, and a task that was forgotten runs.
        ("requeue", "lost", ["--worker-kills-only", "--patience=4"]),
        ("memory", "changed", ["--broker-every=2.5", "--patience=20"]),
    ],
)
def test_a_broken_broker_is_found_out(fault: str, promise: str, words: list[str]) -> None:
    code, said = _run(f"--break={fault}", *words)
    assert code == 1, said
    broken = next(line for line in said.splitlines() if line.startswith("BROKEN"))
    assert promise in broken, said
