"""Frontend messages, read: requests, or the replies that say what is wrong with them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.counters import Counters
from vpoller_like.broker.events import Reply, Request
from vpoller_like.broker.figures import TURN
from vpoller_like.broker.gate import Gate, is_chosen
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import BadRequest, ProtocolError, TooLarge
from vpoller_like.protocol import batch
from vpoller_like.protocol.encoding import Encoding, encoding_of
from vpoller_like.protocol.envelope import Envelope, EnvelopeError, split
from vpoller_like.protocol.limits import MAX_ENVELOPE_FRAMES
from vpoller_like.protocol.reply import failure
from vpoller_like.protocol.request import parse_head, parse_heads
from vpoller_like.transport.port import Message


@compiled
class Inbox(ABC):
    """What has come from clients and has not been read; a subclass answers what is no request.

    A message has a body of ``max_request`` bytes at most, and ``max_frames`` before it; a batch
    has ``max_batch`` requests. ``let_in`` says as whom a user was let in with a method before.
    """

    def __init__(
        self,
        max_request: int,
        max_frames: int,
        max_batch: int,
        let_in: Mapping[tuple[str, str], str],
    ) -> None:
        self._max_request = max_request
        self._max_frames = max_frames
        self._max_batch = max_batch
        self._let_in = let_in
        #: What has arrived and has not been read.
        self.messages: deque[Message] = deque()

    def take(self, asks_users: bool) -> list[Request]:
        """Return the next requests; ``asks_users`` says that messages tell whose they are."""
        requests: list[Request] = []
        messages = self.messages
        while messages and len(requests) < TURN:
            self._take_usual(requests, asks_users)
            if not messages or len(requests) >= TURN:
                break
            requests.extend(self.unusual(messages.popleft(), asks_users))
        return requests

    def _take_usual(self, requests: list[Request], asks_users: bool) -> None:
        """Move to ``requests`` those with nothing wrong, alone or in batches; up to any other."""
        messages = self.messages
        limits = self._max_request, self._max_frames, self._max_batch
        while messages and len(requests) < TURN:
            message = messages[0]
            if asks_users and is_chosen(message.frames[0]):
                return
            found = read(message.frames, message.truncated, *limits)
            if isinstance(found, Request) and not asks_users:
                # Nearly all, in as few steps as it can be.
                requests.append(found)
            else:
                parts = found if isinstance(found, list) else [found]
                usual = [self._usual(part, message.user, asks_users) for part in parts]
                if None in usual:
                    return
                requests += filter(None, usual)
            messages.popleft()

    def _usual(self, part: Request | Reply, user: str, asks_users: bool) -> Request | None:
        """Return a request that is right, and like others of ``user``'s that were let in before."""
        if not isinstance(part, Request):
            return None
        if not asks_users:
            return part
        principal = self._let_in.get((user, part.head.method))
        if principal is None:
            return None
        return Request(part.envelope, part.body, part.head, principal, part.index)

    @abstractmethod
    def unusual(self, message: Message, asks_users: bool) -> Iterable[Request]:
        """Return the requests in ``message``, and answer what in it is none."""


class Intake(Inbox):
    """Reads what clients send; what no request is is answered by ``reply``.

    Clients that showed who they are are let in by ``gate``.
    """

    def __init__(
        self,
        settings: BrokerSettings,
        gate: Gate,
        counters: Counters,
        reply: Callable[[Reply], object],
    ) -> None:
        super().__init__(settings.max_request, settings.max_frames, settings.max_batch, gate.let_in)
        self._gate = gate
        self._counters = counters
        self._reply = reply

    def unusual(self, message: Message, asks_users: bool) -> Iterable[Request]:
        """Read a message whole, whatever it is; see :func:`read`."""
        limits = self._max_request, self._max_frames, self._max_batch
        found = read(message.frames, message.truncated, *limits)
        parts = found if isinstance(found, list) else [found]
        return self._judged(parts, message.user, asks_users)

    def _judged(
        self, found: Iterable[Request | Reply], user: str, asks_users: bool
    ) -> Iterator[Request]:
        for part in found:
            if isinstance(part, Reply):
                self._counters.bad_requests += 1
            elif asks_users:
                part = self._gate.request(part, user)
            if isinstance(part, Request):
                yield part
            else:
                self._reply(part)


def read_one(
    frames: Sequence[bytes], truncated: bool, max_request: int, max_frames: int
) -> Request | Reply:
    """Read one message that may not be a batch; see :func:`read`."""
    found = read(frames, truncated, max_request, max_frames)
    assert not isinstance(found, list), "a batch where there may be none"
    return found


def read(
    frames: Sequence[bytes],
    truncated: bool,
    max_request: int,
    max_frames: int = MAX_ENVELOPE_FRAMES,
    max_batch: int = 0,
) -> Request | Reply | list[Request | Reply]:
    """Read one message, routing id first; return a request or what is said of it.

    ``max_request`` is in bytes; ``max_frames`` may come before the body. A batch, of
    ``max_batch`` requests at most, is a list of those; with 0 none is taken for one.
    """
    try:
        envelope, body = split(frames, truncated, max_frames)
    except EnvelopeError as error:
        return Reply(error.envelope, failure(BadRequest(error.message)))
    if len(body) > max_request:
        return _too_large(envelope, body, max_request)
    if max_batch and body[:1] != b"{" and batch.is_batch(body):
        return _batch(envelope, body, max_batch)
    try:
        return Request(envelope, body, parse_head(body))
    except ProtocolError as error:
        return _bad(envelope, error, encoding_of(body))


def _batch(envelope: Envelope, body: bytes, max_batch: int) -> Reply | list[Request | Reply]:
    encoding = encoding_of(body)
    try:
        bodies = batch.split(body, max_batch)
        if not bodies:
            raise ProtocolError("an empty batch; send an array of requests", body)
    except ProtocolError as error:
        return _bad(envelope, error, encoding)
    heads = parse_heads(body)
    if heads is not None:
        parts = enumerate(zip(bodies, heads, strict=True))
        return [Request(envelope, body, head, "", at) for at, (body, head) in parts]
    # In the batch's encoding: what is no object does not show its own.
    return [_part(envelope, body, at, encoding) for at, body in enumerate(bodies)]


def _part(envelope: Envelope, body: bytes, index: int, encoding: Encoding) -> Request | Reply:
    try:
        return Request(envelope, body, parse_head(body), "", index)
    except ProtocolError as error:
        return _bad(envelope, error, encoding, index)


def _bad(
    envelope: Envelope, error: ProtocolError, encoding: Encoding, index: int | None = None
) -> Reply:
    return Reply(envelope, failure(BadRequest(error.message, **error.details), encoding), index)


def _too_large(envelope: Envelope, body: bytes, max_request: int) -> Reply:
    error = TooLarge(
        f"the request has {len(body)} bytes, more than the {max_request} allowed",
        size=len(body),
        limit=max_request,
    )
    return Reply(envelope, failure(error, encoding_of(body)))
