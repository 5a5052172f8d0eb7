"""Behind the doors that ask for keys: what each message's sender may do."""

from __future__ import annotations

import logging

import msgspec

from vpoller_like.broker import intake
from vpoller_like.broker.access import Access
from vpoller_like.broker.counters import Counters
from vpoller_like.broker.events import Event, Reply, Request, WorkerSays
from vpoller_like.errors import Unauthorized
from vpoller_like.protocol import worker as wire

log = logging.getLogger("vpoller.broker")

#: Methods that a line of the log names at most.
MAX_NAMED = 5


class Gate:
    """Looks at every message by the rules of ``access``, which may change meanwhile.

    ``user`` is always the user id that the message came with.
    """

    def __init__(self, access: Access, counters: Counters) -> None:
        self._access = access
        self._counters = counters

    def request(self, request: Request, user: str) -> Request | Reply:
        """Return the request with its principal, or the reply that it is not let in."""
        try:
            principal = self._access.principal(user, request.head.method)
        except Unauthorized as error:
            return self._refused(request, error)
        return request._replace(principal=principal)

    def admin(self, request: Request, user: str) -> Request | Reply:
        """Return the request to the admin endpoint, or the reply that it is not let in."""
        try:
            self._access.require_admin(user, request.head.method)
        except Unauthorized as error:
            return self._refused(request, error)
        return request

    def _refused(self, request: Request, error: Unauthorized) -> Reply:
        self._counters.unauthorized += 1
        return intake.refused(request, error)

    def lets_work(self, user: str) -> bool:
        """Say whether messages of ``user`` count as a worker's."""
        if self._access.is_worker(user):
            return True
        self._counters.unauthorized += 1
        return False

    def worker_event(self, event: Event, user: str) -> Event:
        """Return what a worker says with its key, and without what it may not serve."""
        if not user or not isinstance(event, WorkerSays):
            return event
        message = event.message
        if isinstance(message, wire.Hello):
            message = self._allowed(message, user)
        return WorkerSays(event.peer, message, user)

    def _allowed(self, hello: wire.Hello, user: str) -> wire.Hello:
        offers, refused = self._access.allowed(user, hello.offers)
        if not refused:
            return hello
        log.warning(
            "worker %s offers what its key %s may not serve, and it is left out: %s",
            hello.label,
            self._access.name_of(user),
            ", ".join(refused[:MAX_NAMED]) + " and others" * (len(refused) > MAX_NAMED),
        )
        return msgspec.structs.replace(hello, offers=offers)
