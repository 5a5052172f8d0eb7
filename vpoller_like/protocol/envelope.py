"""The frames around a body on the frontend.

Everything up to and including the first empty frame is the envelope: the ROUTER's
routing id, whatever correlation frames the client's socket adds (REQ_CORRELATE, a
DEALER's own), and the delimiter. It goes back unchanged in front of the reply.
"""

from __future__ import annotations

from collections.abc import Sequence

from vpoller_like.errors import ProtocolError
from vpoller_like.protocol.limits import MAX_ENVELOPE_BYTES, MAX_ENVELOPE_FRAMES

Envelope = tuple[bytes, ...]

#: Beside a routing id, which has 255 bytes at most.
_MAX_FRAME = MAX_ENVELOPE_BYTES - 255


class EnvelopeError(ProtocolError):
    """The frames around the body are wrong; ``envelope`` is where to send the error."""

    def __init__(self, message: str, envelope: Envelope) -> None:
        super().__init__(message)
        self.envelope = envelope


def split(
    frames: Sequence[bytes], truncated: bool = False, max_frames: int = MAX_ENVELOPE_FRAMES
) -> tuple[Envelope, bytes]:
    """Part the envelope from the body, and return both.

    ``frames`` starts with the peer's routing id. ``truncated`` says that the message had
    more frames than were kept. Raises ``EnvelopeError`` where there is no delimiter
    within ``max_frames``, more than ``MAX_ENVELOPE_BYTES`` before the body, no body, or more
    than one frame of body.
    """
    # The usual cases first: a REQ socket's three frames, and a DEALER's with one of its own.
    if len(frames) == 3 and not frames[1] and not truncated:
        return (frames[0], b""), frames[2]
    if (
        len(frames) == 4
        and 0 < len(frames[1]) <= _MAX_FRAME
        and not (frames[2] or truncated)
        and max_frames > 1
    ):
        return (frames[0], frames[1], b""), frames[3]
    try:
        end = frames.index(b"", 1, 1 + max_frames) + 1
    except ValueError:
        # Without a delimiter the peer's own id is all that is known of the way back.
        raise EnvelopeError(
            f"no empty delimiter frame among the first {max_frames} frames; "
            "send an empty frame, then the body (a REQ socket does so by itself)",
            tuple(frames[:1]),
        ) from None
    envelope = tuple(frames[:end])
    _require_small(envelope)
    bodies = len(frames) - end
    if truncated or bodies > 1:
        raise EnvelopeError(
            "more than one frame after the delimiter; send the body as one frame", envelope
        )
    if bodies == 0:
        raise EnvelopeError("no body after the delimiter; send a JSON object", envelope)
    return envelope, frames[end]


def _require_small(envelope: Envelope) -> None:
    size = sum(map(len, envelope))
    if size > MAX_ENVELOPE_BYTES:
        raise EnvelopeError(
            f"the frames before the body have {size} bytes, more than the {MAX_ENVELOPE_BYTES} "
            "allowed; send what is large in the body",
            envelope[:1],
        )
