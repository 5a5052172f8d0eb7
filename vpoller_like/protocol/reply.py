"""The reply's envelope: ``{"success": 0, "msg": ..., "result": ...}`` or an error.

0 means success, as it does in vPoller.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from vpoller_like.errors import ProtocolError, VPollerError, error_from_code
from vpoller_like.protocol.encoding import (
    JSON,
    Encoding,
    decode_object,
    encode,
    kind_of,
)

_write_json = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_unpack_text = msgspec.msgpack.Decoder(str).decode
_PACKED_KEY = _pack("meta")
_SPACES = frozenset(b" \t\r\n")
_OPEN, _CLOSE = b"{}"

SUCCESS = 0
FAILURE = 1


class ReplyMeta(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What became of a request, for the client that sent ``meta``."""

    id: str | None = None
    #: The label of the worker that ran it.
    worker: str | None = None
    #: How often it was given to a worker.
    attempts: int = 0
    #: Milliseconds between the broker's receiving it and its last dispatch.
    queued_ms: float | None = None
    #: Milliseconds that the method took.
    ran_ms: float | None = None


class Success(msgspec.Struct, frozen=True, gc=False):
    """The envelope of a success: written in half the time that a dict takes."""

    success: int
    msg: str
    result: Any


def success(
    result: Any,
    msg: str,
    encoding: Encoding = JSON,
    enc_hook: Callable[[Any], Any] | None = None,
) -> bytes:
    """Write a success. Raises as :func:`~.encoding.encode` does."""
    return encode(Success(SUCCESS, msg, result), encoding, enc_hook)


def failure_fields(error: VPollerError) -> dict[str, Any]:
    """Return the envelope that tells of ``error``."""
    # Last as well as first: no detail may take the place of these two.
    own = {"code": error.code, "retryable": error.retryable}
    return {
        "success": FAILURE,
        "msg": error.message,
        "error": {**own, **error.details, **own},
    }


def failure(error: VPollerError, encoding: Encoding = JSON) -> bytes:
    """Write the reply that tells of ``error``."""
    return encode(failure_fields(error), encoding, repr)


def with_meta(body: bytes, meta: ReplyMeta, encoding: Encoding) -> bytes:
    """Return the reply ``body``, a JSON object or MessagePack map, with ``meta`` added.

    It is added in place: the broker does not decode results.
    """
    if encoding is JSON:
        # Copied once where no space stands before and behind its end, as our workers write it.
        text = body[:-1] if body[-1] == _CLOSE else body.rstrip()[:-1]
        if text[-1] in _SPACES:
            text = text.rstrip()
        key = b'"meta":' if text[-1] == _OPEN else b',"meta":'
        return b"".join((text, key, _write_json(meta), b"}"))
    size, header = _map_header(body)
    return b"".join((_write_map_header(size + 1), body[header:], _PACKED_KEY, _pack(meta)))


def is_envelope(body: bytes, encoding: Encoding) -> bool:
    """Say whether ``body`` has the outside of a reply, so that ``meta`` can be added."""
    if encoding is JSON:
        if body and body[0] == _OPEN and body[-1] == _CLOSE:
            return True
        text = body.strip()
        return text[:1] == b"{" and text[-1:] == b"}"
    try:
        _map_header(body)
    except ProtocolError:
        return False
    return True


def write_text(text: str, encoding: Encoding) -> bytes:
    """Write a helper's ``text`` as a whole body. Raises ``ValueError`` for a lone surrogate."""
    return text.encode() if encoding is JSON else _pack(text)


def read_text(body: bytes, encoding: Encoding) -> str | None:
    """Return the text that a whole ``body`` is; ``None`` where it is none."""
    try:
        return body.decode() if encoding is JSON else _unpack_text(body)
    except ValueError:
        return None


def enveloped(text: str, code: str, encoding: Encoding) -> bytes:
    """Write the reply that says what ``text`` does; ``code`` is empty for a success."""
    if code:
        return failure(error_from_code(code, text), encoding)
    return success(text, "Successfully ran the task", encoding)


def parse_reply(body: bytes) -> dict[str, Any]:
    """Read a reply, in either encoding; raise ``ProtocolError`` where it is none."""
    return require_reply(decode_object(body), body)


def require_reply(value: Any, body: bytes = b"") -> dict[str, Any]:
    """Return ``value``, which ``body`` holds, if it is a reply; else raise ``ProtocolError``."""
    if not isinstance(value, dict):
        raise ProtocolError(f"expected a JSON object, got {kind_of(value)}", body)
    if value.get("success") not in (SUCCESS, FAILURE):
        raise ProtocolError("a reply without success: 0 or 1", body)
    return value


def _map_header(body: bytes) -> tuple[int, int]:
    """Return a MessagePack map's number of pairs and its header's length."""
    first = body[0] if body else 0
    width = {0xDE: 2, 0xDF: 4}.get(first, 0)
    if first & 0xF0 == 0x80:
        size = first & 0x0F
    elif width:
        size = int.from_bytes(body[1 : 1 + width], "big")
    else:
        raise ProtocolError("not a MessagePack map", body)
    # A pair takes two bytes at least: a count beyond that is a lie, or cut off.
    if len(body) < 1 + width + 2 * size:
        raise ProtocolError("a MessagePack map that is cut off", body)
    return size, 1 + width


def _write_map_header(size: int) -> bytes:
    if size < 16:
        return bytes([0x80 | size])
    if size < 1 << 16:
        return b"\xde" + size.to_bytes(2, "big")
    return b"\xdf" + size.to_bytes(4, "big")
