"""What the documents show works when it is pasted."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.fabric import ROOT, Fabric, eventually

DEFAULT_FRONTEND = "tcp://localhost:10123"


@pytest.fixture(scope="module")
def fabric() -> Iterator[Fabric]:
    with Fabric() as fabric:
        fabric.start_worker(processes=2, threads=2, agents="system")
        eventually(lambda: fabric.status()["uptime_s"] > 2.1, "the broker's first seconds pass")
        yield fabric


def literal_blocks(document: str) -> list[str]:
    """Return the indented blocks that follow a line ending in ``::``, dedented."""
    blocks: list[str] = []
    inside = False
    for line in (ROOT / document).read_text().splitlines():
        if inside and (not line or line.startswith("   ")):
            blocks[-1] += line + "\n"
            continue
        inside = line.endswith("::") or line == ".. code-block:: python"
        if inside:
            blocks.append("")
    return [textwrap.dedent(block).strip() for block in blocks]


def python_blocks(document: str) -> list[str]:
    return [block for block in literal_blocks(document) if "import " in block]


def shell_lines(document: str) -> list[str]:
    lines = [line for block in literal_blocks(document) for line in block.splitlines()]
    asking = ("vpoller call ", "vpoller methods", "vpoller status", "vpoller workers")
    return [line for line in lines if line.startswith(asking) and "&" not in line]


def run(fabric: Fabric, command: list[str]) -> subprocess.CompletedProcess[str]:
    environment = {
        **fabric.env,
        "PYTHON": sys.executable,
        "VPOLLER_CLIENT_ENDPOINTS": fabric.frontend,
        "VPOLLER_CLIENT_ADMIN": fabric.admin,
    }
    return subprocess.run(
        command, env=environment, cwd=fabric.place, capture_output=True, text=True, timeout=60
    )


def test_the_documents_have_something_to_paste() -> None:
    assert len(python_blocks("README.rst")) == 3
    assert len(shell_lines("README.rst")) >= 3
    assert len(shell_lines("docs/tutorial.rst")) >= 7


@pytest.mark.parametrize("document", ["README.rst", "docs/tutorial.rst"])
def test_the_python_shown_runs_and_prints(fabric: Fabric, document: str) -> None:
    for block in python_blocks(document):
        code = block.replace(DEFAULT_FRONTEND, fabric.frontend)
        done = run(fabric, [sys.executable, "-c", code])
        assert (done.returncode, done.stderr) == (0, ""), block
        assert done.stdout, block


@pytest.mark.parametrize("line", shell_lines("README.rst") + shell_lines("docs/tutorial.rst"))
def test_the_commands_shown_answer(fabric: Fabric, line: str) -> None:
    wrong = {"seconds=soon": 1, "no.such.method": 0}  # The second one ends in an echo.
    expected = next((code for part, code in wrong.items() if part in line), 0)
    shell = f'vpoller() {{ "$PYTHON" -m vpoller_like.cli "$@"; }}\n{line}'
    done = run(fabric, ["sh", "-c", shell])
    assert done.returncode == expected, done.stderr
    assert done.stdout if expected == 0 else done.stderr.startswith("Error: seconds")


def test_the_two_commands_of_the_readme_are_make_targets() -> None:
    makefile = (Path(ROOT) / "Makefile").read_text()
    for line in literal_blocks("README.rst")[0].splitlines():
        target = line.split()[1]
        assert line.startswith("make ")
        assert f"\n{target}:" in makefile
