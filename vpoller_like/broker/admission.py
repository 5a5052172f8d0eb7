"""What becomes of a request: joined, remembered, refused, sought, queued or given."""

from __future__ import annotations

from collections.abc import Iterator

from vpoller_like.broker.counters import Counters
from vpoller_like.broker.dispatcher import Dispatcher
from vpoller_like.broker.events import Request
from vpoller_like.broker.memory import Memory
from vpoller_like.broker.plain import PlainDesk
from vpoller_like.broker.routing import Directory, Route
from vpoller_like.broker.seekers import Seekers
from vpoller_like.broker.task import Key, State, Task, id_reused
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import (
    BadRequest,
    Busy,
    ProtocolError,
    RequestError,
    ShuttingDown,
    UnknownHost,
    UnknownMethod,
    WorkerLost,
)
from vpoller_like.protocol.encoding import JSON, encoding_of
from vpoller_like.protocol.reply import ReplyMeta, failure
from vpoller_like.protocol.request import DEFAULT_PRIORITY, UNSET, Meta, fingerprint

#: A request may have been under way this long, in seconds, when its ``age_ms`` is read.
TRANSIT = 1.0
# To find an enumeration's member takes longer than most of what is done with it.
_QUEUED = State.QUEUED
_BRACE = ord("{")
#: Hosts that an error lists at most.
LISTED_HOSTS = 20


class Admission:
    """Takes requests in. ``numbers`` are what tasks are numbered by."""

    def __init__(
        self,
        settings: BrokerSettings,
        directory: Directory,
        dispatcher: Dispatcher,
        memory: Memory,
        plain: PlainDesk,
        counters: Counters,
        *,
        grace_until: float,
        numbers: Iterator[int],
    ) -> None:
        self._directory = directory
        self._dispatcher = dispatcher
        self._memory = memory
        self._plain = plain
        self._counters = counters
        self._default_deadline = settings.default_deadline_ms / 1000
        self._remember = settings.remember_ms / 1000
        self._max_waiters = settings.max_waiters
        self._grace_until = grace_until
        self._numbers = numbers
        self._seekers: Seekers | None = None
        #: Tasks of methods that only plain workers may serve; never swept, never linked.
        self._plain_route = Route("(plain)", None, 0.0)
        self.draining = False
        #: The task that the last request became, if it did.
        self.begun: Task | None = None

    def attach(self, seekers: Seekers) -> None:
        """Let ``seekers`` look for ids that may have been forgotten."""
        self._seekers = seekers

    def request(self, event: Request, now: float) -> None:
        """Take in one request; it is answered now or later, in every case."""
        self._counters.requests += 1
        self.begun = None
        try:
            head, body = event.head, event.body
            meta = head.meta
            principal = event.principal
            key, mark = None, None
            if meta is not None and meta.id is not None:
                key, mark = (principal, meta.id), _mark(body)
                if self._known(event, key, mark, now):
                    return
            if self.draining:
                raise ShuttingDown("the broker is shutting down; ask again, or ask another broker")
            route = self._directory.routes.get((head.method, head.hostname))
            if route is None or not route.pools:
                route = self._rare_route(head.method, head.hostname or None, now)
            route.last_used = now
            number = next(self._numbers)
            # A worker may have brought a run along whose number says that it is ours.
            while number in self._dispatcher.live:
                number = next(self._numbers)
            task = self.begun = Task(
                number,
                route,
                body,
                principal or event.envelope[0],
                JSON if body[0] == _BRACE else encoding_of(body),
                now,
                now + self._default_deadline if meta is None else self._deadline(meta, now),
                DEFAULT_PRIORITY if meta is None else meta.priority,
                key,
                mark,
                [event],
                _QUEUED,
                None,
                now,
            )
            if key is not None and meta is not None and self._may_have_run(meta, now):
                self._seek(task, now)
            elif route is self._plain_route:
                self._dispatcher.open(task)
                self._plain.ask(task, now)
            else:
                self._dispatcher.submit(task, now)
        except RequestError as error:
            self.refuse(event, error)

    # Ids -------------------------------------------------------------------------------

    def _known(self, event: Request, key: Key, mark: bytes, now: float) -> bool:
        """Join the task, or send the reply, that is known under ``key``."""
        task = self._dispatcher.by_key.get(key)
        if task is not None:
            self._join(task, event, mark, now)
            return True
        entry = self._memory.get(key)
        if entry is None:
            return False
        if entry.fingerprint != mark:
            raise id_reused(key)
        self._dispatcher.recall(event, entry, encoding_of(event.body))
        return True

    def _join(self, task: Task, event: Request, mark: bytes, now: float) -> None:
        if task.fingerprint != mark:
            assert task.key is not None
            raise id_reused(task.key)
        if len(task.waiters) >= self._max_waiters:
            self._counters.busy += 1
            raise Busy("too many clients wait for this id; try again later", retry_after_ms=1000)
        self._dispatcher.join(task, event)
        self._counters.joined += 1
        if task.body is None:
            task.body, task.encoding = event.body, encoding_of(event.body)
        self._dispatcher.extend_deadline(task, self._deadline(event.head.meta, now))

    def _may_have_run(self, meta: Meta, now: float) -> bool:
        """Say whether an id that is not known here may be known to a worker."""
        if meta.moved:
            return True
        if meta.age_ms is None:
            return self._memory.may_have_forgotten(now - self._remember)
        if meta.age_ms == 0:
            return False
        return self._memory.may_have_forgotten(now - meta.age_ms / 1000 - TRANSIT)

    def _seek(self, task: Task, now: float) -> None:
        assert self._seekers is not None
        if task.route is self._plain_route:
            raise _plain_forgets()
        self._seekers.require_room(task.route)
        self._dispatcher.require_room(task.route, task.share, len(task.body or b""))
        self._dispatcher.open(task)
        self._seekers.start(task, now)

    def not_found(self, task: Task, now: float) -> None:
        """No worker knows the id of ``task``, which may have run all the same."""
        if task.route.retry_safe:
            self._dispatcher.start(task, now)
        elif task.route.pools:
            message = (
                f"no worker knows what became of this id; {task.route.method} may have run, and "
                "is not declared safe to run twice"
            )
            self._dispatcher.fail(task, WorkerLost(message), now)
        elif self._plain_serves(task.route.method):
            self._dispatcher.fail(task, _plain_forgets(), now)
        else:
            self._dispatcher.fail(task, self._unknown(task.route.method, task.route.hostname), now)

    # Routes ----------------------------------------------------------------------------

    def _rare_route(self, method: str, hostname: str | None, now: float) -> Route:
        """Return where the request goes that has no served route; raise where nobody serves it.

        An empty hostname is none, and so is what a program in C writes for one, unless there
        is a host of that name.
        """
        if hostname in UNSET and not self._directory.serving(method, hostname):
            hostname = None
        if self._directory.serving(method, hostname):
            return self._directory.route(method, hostname, now)
        if now < self._grace_until or self._directory.lately_served(method, hostname, now):
            return self._directory.route(method, hostname, now)
        if self._plain_serves(method):
            return self._plain_route
        raise self._unknown(method, hostname)

    def _unknown(self, method: str, hostname: str | None) -> RequestError:
        if not self._directory.knows(method):
            return UnknownMethod(
                f"no worker serves {method}; `vpoller methods` lists what is served",
                method=method,
            )
        hosts = self._directory.hosts_of(method)
        return UnknownHost(
            f"no worker serves {method} for hostname {hostname}; it is served for "
            f"{', '.join(hosts[:LISTED_HOSTS])}{' and others' * (len(hosts) > LISTED_HOSTS)}",
            hostname=hostname,
            hosts=hosts[:LISTED_HOSTS],
        )

    def _plain_serves(self, method: str) -> bool:
        """Say whether plain workers may be asked for ``method``."""
        return self._plain.peers > 0 and not self._directory.knows(method)

    def only_plain(self, now: float) -> list[Task]:
        """Return the queued tasks of methods that only plain workers can serve."""
        routes = [
            route
            for route in self._directory.routes.values()
            if route.queue
            and not route.pools
            and self._plain_serves(route.method)
            and not self._directory.lately_served(route.method, route.hostname, now)
        ]
        return [task for route in routes for task in route.queue]

    def _deadline(self, meta: Meta | None, now: float) -> float:
        if meta is None or meta.deadline_ms is None:
            return now + self._default_deadline
        return now + meta.deadline_ms / 1000

    def refuse(self, event: Request, error: RequestError) -> None:
        """Answer a request that became no task."""
        meta = event.head.meta
        encoding = encoding_of(event.body)
        told = ReplyMeta(id=meta.id if meta else None)
        self._dispatcher.reply(event, failure(error, encoding), told, encoding)


def _plain_forgets() -> WorkerLost:
    return WorkerLost("plain workers remember no ids; an earlier try may have run")


def _mark(body: bytes) -> bytes:
    try:
        return fingerprint(body)
    except ProtocolError as error:
        raise BadRequest(error.message) from error
