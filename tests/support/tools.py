"""Programs that a test needs and that a machine may lack."""

from __future__ import annotations

import os
import shutil
from typing import NoReturn

import pytest


def require_tool(name: str, package: str) -> str:
    """Return the path of the program ``name``, which Debian's ``package`` brings.

    Where it is missing the test is skipped; where ``CI=true`` it fails.
    """
    path = shutil.which(name)
    if path is None:
        missing(f"{name} is not here: install Debian's {package}")
    return path


def missing(reason: str) -> NoReturn:
    """Skip the test for ``reason``; where ``CI=true`` fail it."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
