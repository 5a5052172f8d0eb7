"""Frontend messages, read: requests, or the replies that say what is wrong with them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from vpoller_like.broker.counters import Counters
from vpoller_like.broker.events import Reply, Request
from vpoller_like.broker.gate import Gate
from vpoller_like.config import BrokerSettings
from vpoller_like.errors import BadRequest, ProtocolError, TooLarge
from vpoller_like.protocol import batch
from vpoller_like.protocol.encoding import Encoding, encoding_of
from vpoller_like.protocol.envelope import Envelope, EnvelopeError, split
from vpoller_like.protocol.limits import MAX_ENVELOPE_FRAMES
from vpoller_like.protocol.reply import failure
from vpoller_like.protocol.request import parse_head
from vpoller_like.transport.port import Message

#: Requests that are read in one turn of the loop, but for the rest of a batch: others are to
#: be served meanwhile.
TURN = 512


class Intake:
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
        self._settings = settings
        self._gate = gate
        self._counters = counters
        self._reply = reply
        self._messages: deque[Message] = deque()

    def __bool__(self) -> bool:
        """Whether there are messages that have not been read."""
        return bool(self._messages)

    def put(self, messages: Sequence[Message]) -> None:
        """Messages have arrived."""
        self._messages.extend(messages)

    def take(self, *, asks_users: bool) -> list[Request]:
        """Return the next requests; ``asks_users`` says that messages tell whose they are."""
        requests: list[Request] = []
        while self._messages and len(requests) < TURN:
            message = self._messages.popleft()
            for request in self.read(message.frames, message.truncated):
                if isinstance(request, Reply):
                    self._counters.bad_requests += 1
                elif asks_users:
                    request = self._gate.request(request, message.user)
                if isinstance(request, Request):
                    requests.append(request)
                else:
                    self._reply(request)
        return requests

    def read(self, frames: Sequence[bytes], truncated: bool) -> Sequence[Request | Reply]:
        """Read one message, routing id first: a request, or a batch of them."""
        limits = self._settings
        parted = _part(frames, truncated, limits.max_request, limits.max_frames)
        if isinstance(parted, Reply):
            return (parted,)
        envelope, body = parted
        if body[:1] != b"{" and batch.is_batch(body):
            return self._batch(envelope, body)
        return (_request(envelope, body),)

    def _batch(self, envelope: Envelope, body: bytes) -> Sequence[Request | Reply]:
        encoding = encoding_of(body)
        try:
            bodies = batch.split(body, self._settings.max_batch)
            if not bodies:
                raise ProtocolError("an empty batch; send an array of requests", body)
        except ProtocolError as error:
            return (_bad(envelope, error, encoding),)
        # In the batch's encoding: what is no object does not show its own.
        return [_request(envelope, body, at, encoding) for at, body in enumerate(bodies)]


def read(
    frames: Sequence[bytes],
    truncated: bool,
    max_request: int,
    max_frames: int = MAX_ENVELOPE_FRAMES,
) -> Request | Reply:
    """Read one message that may not be a batch, routing id first.

    ``max_request`` is in bytes; ``max_frames`` may come before the body.
    """
    parted = _part(frames, truncated, max_request, max_frames)
    return parted if isinstance(parted, Reply) else _request(*parted)


def _part(
    frames: Sequence[bytes], truncated: bool, max_request: int, max_frames: int
) -> tuple[Envelope, bytes] | Reply:
    try:
        envelope, body = split(frames, truncated, max_frames)
    except EnvelopeError as error:
        return Reply(error.envelope, failure(BadRequest(error.message)))
    if len(body) > max_request:
        return _too_large(envelope, body, max_request)
    return envelope, body


def _request(
    envelope: Envelope, body: bytes, index: int | None = None, encoding: Encoding | None = None
) -> Request | Reply:
    """Return the request in ``body``; errors are told in ``encoding``, or else in the body's."""
    try:
        return Request(envelope, body, parse_head(body), "", index)
    except ProtocolError as error:
        return _bad(envelope, error, encoding or encoding_of(body), index)


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
