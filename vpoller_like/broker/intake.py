"""A frontend message, read: a request, or the reply that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from vpoller_like.broker.events import Reply, Request
from vpoller_like.errors import BadRequest, ProtocolError, TooLarge
from vpoller_like.protocol.encoding import encoding_of
from vpoller_like.protocol.envelope import Envelope, EnvelopeError, split
from vpoller_like.protocol.reply import failure
from vpoller_like.protocol.request import parse_head


def read(frames: Sequence[bytes], truncated: bool, max_request: int) -> Request | Reply:
    """Read one message, routing id first; ``max_request`` is in bytes."""
    try:
        envelope, body = split(list(frames), truncated)
    except EnvelopeError as error:
        return Reply(error.envelope, failure(BadRequest(error.message)))
    if len(body) > max_request:
        return _too_large(envelope, body, max_request)
    try:
        head = parse_head(body)
    except ProtocolError as error:
        return Reply(envelope, failure(BadRequest(error.message), encoding_of(body)))
    return Request(envelope, body, head)


def _too_large(envelope: Envelope, body: bytes, max_request: int) -> Reply:
    error = TooLarge(
        f"the request has {len(body)} bytes, more than the {max_request} allowed",
        size=len(body),
        limit=max_request,
    )
    return Reply(envelope, failure(error, encoding_of(body)))
