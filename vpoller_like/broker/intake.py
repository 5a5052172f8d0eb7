"""A frontend message, read: a request, or the reply that says what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence

from vpoller_like.broker.events import Reply, Request
from vpoller_like.errors import BadRequest, ProtocolError, RequestError, TooLarge
from vpoller_like.protocol.encoding import encoding_of
from vpoller_like.protocol.envelope import Envelope, EnvelopeError, split
from vpoller_like.protocol.limits import MAX_ENVELOPE_FRAMES
from vpoller_like.protocol.reply import ReplyMeta, failure, with_meta
from vpoller_like.protocol.request import parse_head


def read(
    frames: Sequence[bytes],
    truncated: bool,
    max_request: int,
    max_frames: int = MAX_ENVELOPE_FRAMES,
) -> Request | Reply:
    """Read one message, routing id first.

    ``max_request`` is in bytes; ``max_frames`` may come before the body.
    """
    try:
        envelope, body = split(list(frames), truncated, max_frames)
    except EnvelopeError as error:
        return Reply(error.envelope, failure(BadRequest(error.message)))
    if len(body) > max_request:
        return _too_large(envelope, body, max_request)
    try:
        head = parse_head(body)
    except ProtocolError as error:
        return Reply(envelope, failure(BadRequest(error.message), encoding_of(body)))
    return Request(envelope, body, head)


def refused(request: Request, error: RequestError) -> Reply:
    """Return the reply that ``request`` is not let in."""
    encoding = encoding_of(request.body)
    body = failure(error, encoding)
    if request.head.meta is not None:
        body = with_meta(body, ReplyMeta(id=request.head.meta.id), encoding)
    return Reply(request.envelope, body)


def _too_large(envelope: Envelope, body: bytes, max_request: int) -> Reply:
    error = TooLarge(
        f"the request has {len(body)} bytes, more than the {max_request} allowed",
        size=len(body),
        limit=max_request,
    )
    return Reply(envelope, failure(error, encoding_of(body)))
