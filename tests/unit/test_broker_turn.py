"""The turn of the broker's loop by itself."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from vpoller_like.broker.counters import Counters
from vpoller_like.broker.dispatcher import Dispatcher
from vpoller_like.broker.intake import Inbox
from vpoller_like.broker.machine import Machine
from vpoller_like.broker.memory import Memory
from vpoller_like.broker.turn import Turn
from vpoller_like.config import BrokerSettings


class Core(Machine):
    """Hands an event to ``handle``, and tells ``log`` when it is gone."""

    is_idle = True

    def __init__(self, log: list[str], handle: Any) -> None:
        super().__init__()
        self.log = log
        memory = Memory(0.0, 1.0, 1, 1)
        self._flow = Dispatcher(BrokerSettings(), memory, Counters(), self._out)
        self._handlers = {int: handle}

    def failed(self, event: Any, now: float) -> None:
        """Nothing is left of what fails."""

    def __del__(self) -> None:
        self.log.append("gone")


class Box(Inbox):
    """Takes nothing in."""

    def unusual(self, message: Any, asks_users: bool) -> Any:  # noqa: ARG002
        return ()


class Loop(Turn):
    """A turn between doors that are not there."""

    def __init__(self, core: Machine) -> None:
        door, outbox = SimpleNamespace(socket=1, asks_users=False), SimpleNamespace(due=1.0)
        names = dict.fromkeys(("frontend", "backend"), door)
        outboxes = dict.fromkeys(("frontend_outbox", "backend_outbox", "admin_outbox"), outbox)
        doors: Any = SimpleNamespace(poll=None, busy=set(), **names, **outboxes)
        super().__init__(core, doors, Box(1, 1, 1, {}), [], lambda: 1.0)

    def seldom(self, ready: Any) -> None: ...

    def gone_workers(self, ready: Any) -> None: ...

    def allowed(self, message: Any) -> None: ...

    def undeliverable(self, count: int) -> None: ...

    def log_fault(self, error: Exception, event: Any) -> None:  # noqa: ARG002
        raise error


def test_a_core_that_is_replaced_while_it_runs_lives_until_it_has_run() -> None:
    """The compiled turn went on with one that was gone."""
    log: list[str] = []

    def handle(_event: Any, _now: float) -> None:
        if not log:
            log.append("handles")
            loop._core = Core([], None)
        log.append("has handled")

    loop = Loop(Core(log, handle))
    loop._feed_all((1, 2))  # type: ignore[arg-type]
    assert log == ["handles", "has handled", "has handled", "gone"]
