"""Whose files are, and who may touch them, for tests of what is refused."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable

import pytest


def mode(path: str) -> int:
    """Return who may read, write and execute ``path``."""
    return os.stat(path).st_mode & 0o777


@pytest.fixture
def as_another(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Return what gives a file to one user, and makes this process another one."""

    def give(path: str) -> None:
        if os.geteuid() == 0:
            os.chown(path, 12345, -1)
        monkeypatch.setattr(os, "geteuid", lambda: 54321)

    return give


def show_all_as_closed(monkeypatch: pytest.MonkeyPatch, like: str) -> None:
    """Have every look by name, from now on, find a file of the owner's alone, as ``like``."""
    honest = os.stat(like)
    fake = os.stat_result((stat.S_IFREG | 0o600, *tuple(honest)[1:]))
    monkeypatch.setattr(os, "stat", lambda *_, **__: fake)
