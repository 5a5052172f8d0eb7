"""Behind the doors that ask for keys: what each message's sender may do."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import msgspec

from vpoller_like.broker.access import Access
from vpoller_like.broker.counters import Counters
from vpoller_like.broker.events import Event, Reply, Request, WorkerSays
from vpoller_like.broker.roster import KEY_REFUSED
from vpoller_like.broker.throttle import Throttle
from vpoller_like.clock import Clock, monotonic
from vpoller_like.errors import RequestError, Unauthorized
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import encoding_of
from vpoller_like.protocol.reply import ReplyMeta, failure, with_meta

log = logging.getLogger("vpoller.broker")

#: Methods that a line of the log names at most.
MAX_NAMED = 5

#: What a peer is told that has a key and a routing id of its own choice.
_CHOSEN = (
    "with a key the routing id must be left to the broker: one that is chosen may become "
    "another peer's, and what is sent to it too; set no ROUTING_ID (IDENTITY)"
)


class Gate:
    """Looks at every message by the rules of ``access``, which may change meanwhile.

    ``user`` is always the user id that the message came with.
    """

    def __init__(self, access: Access, counters: Counters, clock: Clock = monotonic) -> None:
        self._access = access
        #: As whom users were let in, by user and method. Who has a routing id of his own choice is
        #: to be judged again all the same.
        self.let_in: Mapping[tuple[str, str], str] = access.let_in
        self._counters = counters
        self._clock = clock
        self._throttle = Throttle()

    def request(self, request: Request, user: str) -> Request | Reply:
        """Return the request with its principal, or the reply that it is not let in."""
        try:
            self._require_given_id(request, user)
            principal = self._access.principal(user, request.head.method)
        except Unauthorized as error:
            return self._refused(request, error)
        return Request(request.envelope, request.body, request.head, principal, request.index)

    def admin(self, request: Request, user: str) -> Request | Reply:
        """Return the request to the admin endpoint, or the reply that it is not let in."""
        try:
            self._require_given_id(request, user)
            self._access.require_admin(user, request.head.method)
        except Unauthorized as error:
            return self._refused(request, error)
        return request

    def _require_given_id(self, request: Request, user: str) -> None:
        if self._access.shows_key(user) and is_chosen(request.envelope[0]):
            raise Unauthorized(_CHOSEN, method=request.head.method)

    def _refused(self, request: Request, error: Unauthorized) -> Reply:
        self._counters.unauthorized += 1
        return _refusal(request, error)

    def refusal(self, peer: bytes, user: str) -> str:
        """Return why messages of ``user`` at ``peer`` do not count as a worker's, if so."""
        if not self._access.is_worker(user):
            reason = KEY_REFUSED
        elif self._access.shows_key(user) and is_chosen(peer):
            reason = _CHOSEN
        else:
            return ""
        self._counters.unauthorized += 1
        return reason

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
        others = self._throttle.others(self._clock())
        if others is not None:
            log.warning(
                "worker %s offers what its key %s may not serve, and it is left out: %s%s",
                hello.label,
                self._access.name_of(user),
                _listed(refused),
                others,
            )
        return msgspec.structs.replace(hello, offers=offers)


def _refusal(request: Request, error: RequestError) -> Reply:
    encoding = encoding_of(request.body)
    body = failure(error, encoding)
    if request.head.meta is not None:
        body = with_meta(body, ReplyMeta(id=request.head.meta.id), encoding)
    return Reply(request.envelope, body, request.index)


def is_chosen(peer: bytes) -> bool:
    """Say whether a peer chose its routing id: those that a ROUTER gives are a zero and 32 bits."""
    return len(peer) != 5 or peer[0] != 0


def _listed(names: list[str]) -> str:
    # Quoted: a name may be anything, line breaks too.
    return ", ".join(map(repr, names[:MAX_NAMED])) + " and others" * (len(names) > MAX_NAMED)
