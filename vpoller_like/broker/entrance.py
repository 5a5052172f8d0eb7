"""Where requests become tasks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator

from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.counters import Counters
from vpoller_like.broker.dispatcher import Dispatcher
from vpoller_like.broker.events import Request
from vpoller_like.broker.memory import Memory
from vpoller_like.broker.routing import Route
from vpoller_like.broker.state import QUEUED
from vpoller_like.broker.task import Key, Task
from vpoller_like.errors import RequestError, ShuttingDown
from vpoller_like.protocol.encoding import JSON, encoding_of
from vpoller_like.protocol.request import DEFAULT_PRIORITY, Meta

_BRACE = ord("{")


@compiled
class Entrance(ABC):
    """Takes requests in that nothing is to be looked up for; the others are a subclass's.

    ``routes`` are those that were asked for before. A request has ``default_deadline`` seconds
    if it does not say. ``numbers`` are what tasks are numbered by.
    """

    def __init__(
        self,
        dispatcher: Dispatcher,
        memory: Memory,
        routes: dict[tuple[str, str | None], Route],
        counters: Counters,
        default_deadline: float,
        numbers: Iterator[int],
    ) -> None:
        self._dispatcher = dispatcher
        self._memory = memory
        self._routes = routes
        self._counters = counters
        self._default_deadline = default_deadline
        self._numbers = numbers
        #: Tasks of methods that only plain workers may serve; never swept, never linked.
        self._plain_route = Route("(plain)", None, 0.0)
        self.draining = False
        #: The task that the last request became, if it did.
        self.begun: Task | None = None

    def request(self, event: Request, now: float) -> None:
        """Take in one request; it is answered now or later, in every case."""
        self._counters.requests += 1
        self.begun = None
        try:
            meta = event.head.meta
            key, mark = None, None
            if meta is not None and meta.id is not None:
                key, mark = (event.principal, meta.id), self.mark(event.body)
                if key in self._dispatcher.by_key or key in self._memory:
                    self.repeated(event, key, mark, now)
                    return
            task = self.begun = self._task(event, meta, key, mark, now)
            if task.route is self._plain_route or (
                key is not None and self.may_have_run(meta, now)
            ):
                self.seek(task, now)
            else:
                self._dispatcher.submit(task, now)
        except RequestError as error:
            self.refuse(event, error)

    def _task(
        self, event: Request, meta: Meta | None, key: Key | None, mark: bytes | None, now: float
    ) -> Task:
        if self.draining:
            raise ShuttingDown("the broker is shutting down; ask again, or ask another broker")
        head, body = event.head, event.body
        route = self._routes.get((head.method, head.hostname))
        if route is None or not route.pools:
            route = self.rare_route(head.method, head.hostname or None, now)
        route.last_used = now
        number = next(self._numbers)
        # A worker may have brought a run along whose number says that it is ours.
        while number in self._dispatcher.live:
            number = next(self._numbers)
        return Task(
            number,
            route,
            body,
            event.principal or event.envelope[0],
            JSON if body[0] == _BRACE else encoding_of(body),
            now,
            now + self._default_deadline if meta is None else self.deadline(meta, now),
            DEFAULT_PRIORITY if meta is None else meta.priority,
            key,
            mark,
            [event],
            QUEUED,
            None,
            now,
        )

    def deadline(self, meta: Meta | None, now: float) -> float:
        """Return until when a request with this ``meta`` waits."""
        if meta is None or meta.deadline_ms is None:
            return now + self._default_deadline
        return now + meta.deadline_ms / 1000

    # What is to be looked up -----------------------------------------------------------

    @abstractmethod
    def mark(self, body: bytes) -> bytes:
        """Return what is equal for equal requests; raise ``BadRequest`` for what is none."""

    @abstractmethod
    def repeated(self, event: Request, key: Key, mark: bytes, now: float) -> None:
        """Join the task, or send the reply, that is known under ``key``."""

    @abstractmethod
    def rare_route(self, method: str, hostname: str | None, now: float) -> Route:
        """Return the route for what has no served one; raise where nobody serves it."""

    @abstractmethod
    def may_have_run(self, meta: Meta | None, now: float) -> bool:
        """Say whether an id that is not known here may be known to a worker."""

    @abstractmethod
    def seek(self, task: Task, now: float) -> None:
        """Have others say what becomes of ``task``: workers that may know its id, or plain ones."""

    @abstractmethod
    def refuse(self, event: Request, error: RequestError) -> None:
        """Answer a request that became no task."""
