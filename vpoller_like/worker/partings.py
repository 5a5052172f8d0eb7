"""Agents that serve no longer, on their way out."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from vpoller_like.agent import Agent
from vpoller_like.agent.host import tear_down
from vpoller_like.clock import Clock, monotonic


class Partings:
    """Tears agents down, each group in a thread of its own: a dead host holds up nobody."""

    def __init__(self, clock: Clock = monotonic) -> None:
        self._clock = clock
        self._threads: list[threading.Thread] = []

    def begin(self, agents: Sequence[Agent]) -> None:
        """Tear ``agents`` down, the last first, in the background."""
        self._threads = [thread for thread in self._threads if thread.is_alive()]
        if agents:
            thread = threading.Thread(
                target=tear_down, args=(agents,), name="teardown", daemon=True
            )
            thread.start()
            self._threads.append(thread)

    def wait(self, seconds: float) -> bool:
        """Wait until all are done, for ``seconds`` at most; say whether they are."""
        until = self._clock() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - self._clock()))
        return not any(thread.is_alive() for thread in self._threads)
