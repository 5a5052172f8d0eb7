"""What an invariant is: it sees what happens, and raises where a promise is broken.

They judge by what goes in and out of the cores, with books of their own; a few look inside a
core for what cannot be seen from outside.
"""

# Hooks are told everything, and each looks at what it needs.

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from tests.simulation.asking import Asked
from tests.simulation.sim_broker import BrokerLife
from tests.simulation.sim_executor import Execution
from vpoller_like.broker import events as ev
from vpoller_like.broker.task import Task
from vpoller_like.protocol import worker as wire

if TYPE_CHECKING:
    from tests.simulation.oracle import Oracle


class Violation(Exception):
    """A promise was broken. ``invariant`` is the name of the class that saw it."""

    def __init__(self, invariant: str, message: str) -> None:
        super().__init__(f"{invariant}: {message}")
        self.invariant = invariant


class Answer(NamedTuple):
    """A reply that a broker gave."""

    asked: Asked
    #: Without ``meta``.
    fields: dict[str, Any]
    #: The error's code; empty for a success.
    code: str
    #: The run that it is the reply of, if it is one's.
    execution: Execution | None
    size: int

    @property
    def says_not_run(self) -> bool:
        """Whether the reply says so."""
        return "not run" in self.fields["msg"]


class Invariant:
    """Does nothing; the promises below override what they need."""

    name: ClassVar[str]

    def __init__(self, oracle: Oracle) -> None:
        self.oracle = oracle

    def requested(self, life: BrokerLife, asked: Asked) -> None:
        """A request is about to reach a broker's core."""

    def before(self, life: BrokerLife, event: ev.Event) -> None:
        """An event is about to be handled."""

    def gave(self, life: BrokerLife, item: wire.Assignment, peer: bytes) -> None:
        """A broker gave a task to a worker."""

    def replied(self, life: BrokerLife, event: ev.Event, answer: Answer) -> None:
        """A broker answered."""

    def after(self, life: BrokerLife, event: ev.Event) -> None:
        """An event has been handled, and its actions seen."""

    def started(self, execution: Execution) -> None:
        """A worker's thread began with a run."""

    def at_rest(self) -> None:
        """Nobody asks any more, and much time has passed."""

    def fail(self, message: str) -> None:
        """Say that the promise is broken."""
        raise Violation(type(self).__name__, message)


def queued(life: BrokerLife) -> list[Task]:
    """Return all tasks that wait in queues of ``life``."""
    routes = life.core.directory.routes.values()
    return [task for route in routes if route.queue for task in route.queue]
