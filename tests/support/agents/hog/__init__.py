"""An agent whose tasks compute in C and hold the interpreter: no other thread of the process
runs meanwhile, and no signal handler of Python's."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path

from vpoller_like.agent import Agent, Params, task


class Run(Params, frozen=True):
    """The file that gets a mark for each run; after so many runs it holds nothing up."""

    file: str
    harmless_after: int = 1_000_000


class Wait(Params, frozen=True):
    """How long to wait, in seconds, leaving a mark before that."""

    file: str
    seconds: float = 0.0


class HogAgent(Agent):
    """Holds the interpreter for minutes."""

    name = "hog"

    @task("hog.safe", retry_safe=True)
    def safe(self, msg: Run) -> int:
        """Running it twice does no harm."""
        return hold_the_interpreter(msg)

    @task("hog.once")
    def once(self, msg: Run) -> int:
        """Not to be run twice."""
        return hold_the_interpreter(msg)

    @task("hog.wait", retry_safe=True)
    def wait(self, msg: Wait) -> int:
        """Wait as a good task does."""
        mark(msg.file)
        time.sleep(msg.seconds)
        return os.getpid()


def hold_the_interpreter(msg: Run) -> int:
    """Compute nothing, for minutes, without once letting go."""
    if mark(msg.file) <= msg.harmless_after:
        sum(itertools.repeat(0, 10**11))
    return os.getpid()


def mark(name: str) -> int:
    """Leave a mark in a file; return how many there are."""
    with Path(name).open("a") as file:
        file.write("|")
    return len(Path(name).read_text())
