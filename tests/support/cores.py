"""The two ways in which what is there twice is there: compiled or not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.extensions import need
from vpoller_like.agent.compiled import TWINS as AGENT
from vpoller_like.broker.compiled import TWINS as BROKER
from vpoller_like.transport.compiled import TWINS as TRANSPORT
from vpoller_like.worker.compiled import TWINS as WORKER

ROOT = Path(__file__).resolve().parents[2]
TWINS = (AGENT, BROKER, TRANSPORT, WORKER)
#: Nothing is compiled.
IS_PURE = all(twins.kind == "pure" for twins in TWINS)

#: For a test that replaces a method of what is compiled: there nothing of it can be replaced.
pure_only = pytest.mark.skipif(
    any(twins.kind == "c" for twins in TWINS),
    reason="replaces what is compiled; test_pure_cores.py runs it in pure Python",
)


def need_cores() -> None:
    """See to it that the compiled cores are there; fail where they could have been built."""
    for twins in TWINS:
        need(twins.extension)


def in_pure_python(*arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run Python with the cores in Python, and with this interpreter; ``timeout`` is seconds."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "VPOLLER_PURE": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
