"""What holds for all tests."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import settings

from vpoller_like.agent.vault import VAULT

# A shell that starts a command with & has it ignore SIGINT, and so would every process that
# the tests start; several are there to see what Ctrl-C does.
signal.signal(signal.SIGINT, signal.default_int_handler)

# How long one example takes says more of the machine than of the code.
settings.register_profile("whole", deadline=None)
settings.load_profile("whole")


@pytest.fixture(autouse=True)
def _no_secret_of_another_test() -> Iterator[None]:
    """What a process keeps secret is kept for good, and its tests are many."""
    yield
    VAULT.forget()
