"""Both workers, the compiled one and the one in Python, on the same course step by step."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from tests.support.twins import Load, as_they_are, in_python

#: The largest number that a message may hold.
MOST = (1 << 63) - 1


class Side:
    """One of the two workers."""

    def __init__(self, load: Load) -> None:
        names = ("run", "runs", "outbox", "pace", "grant", "memory", "ledger", "executor", "events")
        modules: list[Any] = load(
            "worker", *names, "link", "core", "alarm", "baton", "leader", "turn"
        )
        self.run, self.runs, self.outbox, self.pace, self.grant, *modules = modules
        self.memory, self.ledger, self.executor, self.events, self.link, *modules = modules
        self.core, self.alarm, self.baton, self.leader, self.turn = modules


BOTH = (Side(as_they_are), Side(in_python))
PARTS = [BOTH[1].run, BOTH[1].outbox, BOTH[1].grant, BOTH[1].events]
#: What the records that are there twice hold, by their names.
FIELDS = {
    name: record.__struct_fields__
    for part in PARTS
    for name, record in vars(part).items()
    if hasattr(record, "__struct_fields__") and record.__module__ == part.__name__
}


def told(found: Any) -> Any:
    """Return what can be compared with the other side's, as it is now."""
    if isinstance(found, dict):
        return {key: told(value) for key, value in found.items()}
    if isinstance(found, list | tuple):
        return [told(value) for value in found]
    names = FIELDS.get(type(found).__name__)
    if names is not None:
        return [told(getattr(found, name)) for name in names]
    # What is no number is not equal to itself.
    return found if found == found else "nan"


def said(call: Callable[..., Any], *arguments: Any) -> Any:
    """Return what ``call`` returns, or the error's type."""
    try:
        return told(call(*arguments))
    except Exception as error:
        return type(error).__name__


class Steps:
    """One side of something, on a course that a seed alone decides."""

    def __init__(self, side: Side, seed: int) -> None:
        self.side, self.dice, self.now = side, random.Random(seed), 1000.0
        self.begin()

    def begin(self) -> None:
        """Make what the course is of."""

    def step(self) -> Any:
        """Do something to it; return what came of that."""
        raise NotImplementedError

    def state(self) -> Any:
        """Return what can be seen of it."""
        raise NotImplementedError

    def take_turns(self, *ways: Callable[[], Any]) -> Any:
        return said(self.dice.choice(ways))


def assert_same(course: type[Steps], seed: int, steps: int) -> None:
    """Take both sides of ``course`` through all that the seed says, and look after each step."""
    ours, theirs = (course(side, seed) for side in BOTH)
    for _ in range(steps):
        assert ours.step() == theirs.step()
        assert ours.state() == theirs.state()
