"""The project's C extensions, and which of them runs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.tools import missing


def need(extension: Callable[[], Any]) -> Any:
    """Return what ``extension`` does; without one, fail where it could have been built."""
    try:
        return extension()
    except ImportError as error:
        reason = f"{error}: build it with `python setup.py build_ext --inplace`"
        if shutil.which("cc") or shutil.which("gcc"):
            pytest.fail(reason, pytrace=False)
        missing(reason)


def shown(kind: str, reason: str, **environment: str) -> str:
    """Return the kind that runs, and why; each is a name in a module, in a process of its own."""
    whole = {key: value for key, value in os.environ.items() if key != "VPOLLER_PURE"}
    show = "import sys; from pkgutil import resolve_name; print(*map(resolve_name, sys.argv[1:]))"
    return subprocess.check_output(
        [sys.executable, "-c", show, kind, reason], env=whole | environment, text=True, timeout=60
    ).strip()
