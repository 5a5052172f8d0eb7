"""What becomes of a request: joined, remembered, refused, sought, queued or given."""

from __future__ import annotations

from collections.abc import Iterator

from vpoller_like.broker.counters import Counters
from vpoller_like.broker.dispatcher import Dispatcher
from vpoller_like.broker.entrance import Entrance
from vpoller_like.broker.events import Request
from vpoller_like.broker.memory import Memory
from vpoller_like.broker.plain import PlainDesk
from vpoller_like.broker.routing import Directory, Route
from vpoller_like.broker.seekers import Seekers
from vpoller_like.broker.task import Key, Task, id_reused
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import (
    BadRequest,
    Busy,
    ProtocolError,
    RequestError,
    UnknownHost,
    UnknownMethod,
    WorkerLost,
)
from vpoller_like.protocol.encoding import encoding_of
from vpoller_like.protocol.reply import ReplyMeta, failure
from vpoller_like.protocol.request import UNSET, Meta, fingerprint

#: A request may have been under way this long, in seconds, when its ``age_ms`` is read.
TRANSIT = 1.0
#: Hosts that an error lists at most.
LISTED_HOSTS = 20


class Admission(Entrance):
    """Takes all requests in. ``numbers`` are what tasks are numbered by."""

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
        super().__init__(
            dispatcher,
            memory,
            directory.routes,
            counters,
            settings.default_deadline_ms / 1000,
            numbers,
        )
        self._directory = directory
        self._plain = plain
        self._remember = settings.remember_ms / 1000
        self._max_waiters = settings.max_waiters
        self._grace_until = grace_until
        self._seekers: Seekers | None = None

    def attach(self, seekers: Seekers) -> None:
        """Let ``seekers`` look for ids that may have been forgotten."""
        self._seekers = seekers

    # Ids -------------------------------------------------------------------------------

    def mark(self, body: bytes) -> bytes:
        """Return what is equal for equal requests; raise ``BadRequest`` for what is none."""
        try:
            return fingerprint(body)
        except ProtocolError as error:
            raise BadRequest(error.message) from error

    def repeated(self, event: Request, key: Key, mark: bytes, now: float) -> None:
        """Join the task, or send the reply, that is known under ``key``."""
        task = self._dispatcher.by_key.get(key)
        if task is not None:
            self._join(task, event, mark, now)
            return
        entry = self._memory.get(key)
        assert entry is not None, "it is known"
        if entry.fingerprint != mark:
            raise id_reused(key)
        self._dispatcher.recall(event, entry, encoding_of(event.body))

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
        self._dispatcher.extend_deadline(task, self.deadline(event.head.meta, now))

    def may_have_run(self, meta: Meta | None, now: float) -> bool:
        """Say whether an id that is not known here may be known to a worker."""
        if meta is None:
            return False
        if meta.moved:
            return True
        if meta.age_ms is None:
            return self._memory.may_have_forgotten(now - self._remember)
        if meta.age_ms == 0:
            return False
        return self._memory.may_have_forgotten(now - meta.age_ms / 1000 - TRANSIT)

    def seek(self, task: Task, now: float) -> None:
        """Have others say what becomes of ``task``: workers that may know its id, or plain ones."""
        if task.route is not self._plain_route:
            self._seek(task, now)
            return
        meta = task.waiters[0].head.meta
        if task.key is not None and self.may_have_run(meta, now):
            raise _plain_forgets()
        self._dispatcher.open(task)
        self._plain.ask(task, now)

    def _seek(self, task: Task, now: float) -> None:
        assert self._seekers is not None
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

    def rare_route(self, method: str, hostname: str | None, now: float) -> Route:
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

    def refuse(self, event: Request, error: RequestError) -> None:
        """Answer a request that became no task."""
        meta = event.head.meta
        encoding = encoding_of(event.body)
        told = ReplyMeta(id=meta.id if meta else None)
        self._dispatcher.reply(event, failure(error, encoding), told, encoding)


def _plain_forgets() -> WorkerLost:
    return WorkerLost("plain workers remember no ids; an earlier try may have run")
