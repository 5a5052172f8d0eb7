"""The two ways in which the broker's core is there: compiled, and in Python."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.extensions import need
from vpoller_like.broker import compiled

ROOT = Path(__file__).resolve().parents[2]

#: For a test that replaces a method of what is compiled: there nothing of it can be replaced.
pure_only = pytest.mark.skipif(
    compiled.TWINS.kind == "c",
    reason="replaces what is compiled; test_broker_pure.py runs it in pure Python",
)


def need_core() -> Any:
    """Return the compiled core; without one, fail where it could have been built."""
    return need(compiled.TWINS.extension)


def in_pure_python(*arguments: str, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run Python with the core in Python, and with this interpreter; ``timeout`` is seconds."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "VPOLLER_PURE": "1"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
