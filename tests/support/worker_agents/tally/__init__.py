"""An agent for the tests of worker processes, whose runs can be counted from outside."""

from __future__ import annotations

import itertools
import os
import threading
import time
from pathlib import Path

from vpoller_like.agent import Agent, Params, task


class Wait(Params, frozen=True):
    """How long a task takes, in seconds."""

    seconds: float = 0.0


class Run(Params, frozen=True):
    """The file that gets a mark for each run, and how long that takes, in seconds."""

    file: str
    seconds: float = 0.0


class Text(Params, frozen=True):
    """How long a text to return."""

    length: int


class TallyAgent(Agent):
    """Takes its time, leaves marks, gets stuck, and ends the process, as asked."""

    name = "tally"

    @task("tally.quick", retry_safe=True)
    def quick(self, msg: Wait) -> int:
        """Return the process id after a while."""
        if msg.seconds:
            time.sleep(msg.seconds)
        return os.getpid()

    @task("tally.run")
    def run(self, msg: Run) -> None:
        """Leave a mark, then take some time."""
        with Path(msg.file).open("a") as file:
            file.write("|")
        time.sleep(msg.seconds)

    @task("tally.text")
    def text(self, msg: Text) -> str:
        """Return a long text."""
        return "x" * msg.length

    @task("tally.stuck", timeout=1.0)
    def stuck(self, msg: dict[str, object]) -> None:  # noqa: ARG002
        """Never return."""
        threading.Event().wait()

    @task("tally.snag", timeout=1.0)
    def snag(self, msg: Wait) -> None:
        """Never return, if any seconds are given."""
        if msg.seconds:
            threading.Event().wait()

    @task("tally.compute")
    def compute(self, msg: Wait) -> None:
        """Compute for so long, in Python."""
        until = time.monotonic() + msg.seconds
        while time.monotonic() < until:
            pass

    @task("tally.hold")
    def hold(self, msg: Wait) -> None:
        """Hold the interpreter for minutes, if any seconds are given."""
        if msg.seconds:
            sum(itertools.repeat(0, 10**11))

    @task("tally.quit")
    def quit(self, msg: dict[str, object]) -> None:  # noqa: ARG002
        """End the process as if it had been asked to."""
        os._exit(0)

    @task("tally.pythonpath")
    def pythonpath(self, msg: dict[str, object]) -> str | None:  # noqa: ARG002
        """Return the import path that a program started here would have."""
        return os.environ.get("PYTHONPATH")
