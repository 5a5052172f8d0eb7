"""What the broker's core does with every event: hand it to who handles it, and tell what to do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.events import Action, Event
from vpoller_like.broker.flow import Flow


@compiled
class Machine(ABC):
    """Events in, actions out, which its parts have put into ``_out``.

    Who derives from it enters who handles which events (``_handlers``), and the part that gives
    tasks to workers (``_flow``), before the first event.
    """

    _flow: Flow

    def __init__(self) -> None:
        self._out: list[Action] = []
        self._handlers: dict[type[Any], Callable[[Any, float], None]] = {}

    def handle(self, event: Event, now: float) -> Sequence[Action]:
        """Take in ``event`` and return what is to be done, in order."""
        self._handlers[type(event)](event, now)
        return self._take_actions()

    def handle_all(
        self, events: Iterable[Event], now: float, on_fault: Callable[[Exception, Event], object]
    ) -> Sequence[Action]:
        """Take in one event after the other; a fault at one ends nothing but that one.

        ``on_fault`` is told of it. ``events`` may be drawn while they are handled.
        """
        for event in events:
            try:
                self._handlers[type(event)](event, now)
            except Exception as error:
                self.failed(event, now)
                on_fault(error, event)
        return self._take_actions()

    def _take_actions(self) -> Sequence[Action]:
        self._flow.end_round()
        actions = self._out[:]
        self._out.clear()
        return actions

    @abstractmethod
    def failed(self, event: Event, now: float) -> None:
        """Clear up after ``event`` has not been handled to its end."""

    @property
    @abstractmethod
    def is_idle(self) -> bool:
        """Nobody waits for anything that a worker may say."""
