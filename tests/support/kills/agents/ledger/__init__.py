"""An agent that writes down each run's beginning and end before anybody hears of them.

Each process has a file of its own in the directory named by ``KILLS_LEDGER``, and each line
is one write: what a killed process had begun is there to the last run.
"""

from __future__ import annotations

import itertools
import os
import time

from vpoller_like.agent import Agent, Params, task


class Entry(Params, frozen=True):
    """Which request this is, and how many seconds it takes."""

    number: int
    seconds: float = 0.0


class LedgerAgent(Agent):
    """Its methods differ only in whether they may be run twice."""

    name = "ledger"

    def setup(self) -> None:
        """Begin this process's file; from then on it counts as a worker that serves."""
        name = f"{os.getpid()}-{time.monotonic_ns()}.ledger"
        path = os.path.join(os.environ["KILLS_LEDGER"], name)
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._runs = itertools.count(1)

    def teardown(self) -> None:
        """Close the file."""
        os.close(self._file)

    @task("ledger.safe", retry_safe=True)
    def safe(self, msg: Entry) -> dict[str, int]:
        """Leave an entry; twice does no harm."""
        return self._enter(msg)

    @task("ledger.once")
    def once(self, msg: Entry) -> dict[str, int]:
        """Leave an entry, which must stay the only one."""
        return self._enter(msg)

    @task("ledger.ping", retry_safe=True)
    def ping(self, msg: dict[str, object]) -> int:  # noqa: ARG002
        """Leave nothing."""
        return os.getpid()

    def _enter(self, msg: Entry) -> dict[str, int]:
        run = next(self._runs)
        self._write(f"{run} {msg.number} {time.monotonic_ns()}\n")
        if msg.seconds:
            time.sleep(msg.seconds)
        self._write(f"{run} {time.monotonic_ns()}\n")
        # Two runs never answer alike.
        return {"pid": os.getpid(), "run": run}

    def _write(self, line: str) -> None:
        os.write(self._file, line.encode())
