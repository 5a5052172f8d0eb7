"""What holds for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from tests.support import bursts
from vpoller_like.agent.vault import VAULT

# A shell that starts a command with & has it ignore SIGINT, and so would every process that
# the tests start; several are there to see what Ctrl-C does.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long one example takes says more of the machine than of the code.
settings.register_profile("whole", deadline=None)
settings.load_profile("whole")


@pytest.fixture(params=["c", "pure"])
def burst_kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Sockets are read and written by the C extension, and then in pure Python."""
    kind: str = request.param
    bursts.use(kind, monkeypatch)
    return kind


@pytest.fixture(autouse=True)
def _no_secret_of_another_test() -> Iterator[None]:
    """What a process keeps secret is kept for good, and its tests are many."""
    yield
    VAULT.forget()
