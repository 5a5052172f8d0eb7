"""Batches: one message that carries many requests, and packs of their replies.

A body that is an array is a *batch*; its elements are requests. What comes back are *packs*,
arrays of pairs ``[index, reply]``, where the index is a request's place in the batch. Both
are put together and taken apart without decoding what they hold: an element's bytes stay as
they were written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import msgspec

from vpoller_like.errors import ProtocolError
from vpoller_like.protocol.encoding import (
    ARRAY_BYTES,
    DECODE_FAULTS,
    JSON,
    MSGPACK,
    Encoding,
    encoding_of,
    field_fault,
    json_fault,
)

#: Requests in one batch that a broker takes, if not set otherwise.
MAX_BATCH = 1000

#: Far beyond any batch, and within what any language counts to.
_Index = Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)]
_Elements = list[msgspec.Raw]
_Pairs = list[tuple[_Index, msgspec.Raw]]

_json_elements = msgspec.json.Decoder(_Elements).decode
_json_pairs = msgspec.json.Decoder(_Pairs).decode
_json_values = msgspec.json.Decoder(list[tuple[_Index, Any]]).decode
_json_value = msgspec.json.Decoder(msgspec.Raw).decode
_msgpack_elements = msgspec.msgpack.Decoder(_Elements).decode
_msgpack_pairs = msgspec.msgpack.Decoder(_Pairs).decode
_msgpack_value = msgspec.msgpack.Decoder(msgspec.Raw).decode
_msgpack_number = msgspec.msgpack.Encoder().encode

#: A reply of so many bytes is nested far less deeply than any decoder allows.
SHALLOW = 400

#: What stands before the first byte of a JSON text.
_SPACE = frozenset(b" \t\r\n")
_BRACKET = ord("[")

#: What is between a reply and the one before it. Written once: writing the numbers anew takes as
#: long as all the rest of a pack.
JSON_HEADS = [b"],[%d," % index for index in range(MAX_BATCH)]
_MSGPACK_HEADS = [b"\x92" + _msgpack_number(index) for index in range(MAX_BATCH)]


def is_batch(body: bytes) -> bool:
    """Say whether ``body`` is an array, judged by its first byte after white space."""
    first = body[0] if body else 0
    if first in _SPACE:
        return body.lstrip(b" \t\r\n")[:1] == b"["
    return first == _BRACKET or first in ARRAY_BYTES


def split(body: bytes, most: int | None = None) -> list[bytes]:
    """Return the elements of the array ``body``, each as it is written there.

    They are whole values and not yet requests: what is wrong with one is found when it is
    read, and to be told in the encoding of ``body``. In JSON, texts may still be no UTF-8.

    Raises ``ProtocolError`` where ``body`` is no whole array, or has more than ``most``
    elements; that is then the error's ``limit``.
    """
    try:
        if encoding_of(body) is JSON:
            elements = _json_elements(body)
        else:
            _require_count(_declared(body), most, body)
            elements = _msgpack_elements(body)
    except DECODE_FAULTS as error:
        raise _unreadable(error, body) from error
    _require_count(len(elements), most, body)
    # As bytes(element) of each does, in two thirds of the time.
    return list(map(b"".join, zip(elements)))


def join_requests(bodies: Sequence[bytes], encoding: Encoding) -> bytes:
    """Return the batch of these requests, all of which are written in ``encoding``."""
    if encoding is JSON:
        return b"[%b]" % b",".join(bodies)
    return _array_header(len(bodies)) + b"".join(bodies)


def join_replies(items: Sequence[tuple[int, bytes]], encoding: Encoding) -> bytes:
    """Return the pack of these replies, each with its request's place in the batch.

    Every reply must be whole (:func:`is_whole`), or it changes what its neighbours say.
    """
    if encoding is MSGPACK:
        return _array_header(len(items)) + b"".join(_with_heads(items, _MSGPACK_HEADS, encoding))
    if not items:
        return b"[]"
    parts = _with_heads(items, JSON_HEADS, encoding)
    # A head closes the pair before it, and there is none before the first.
    parts[0] = b"[" + parts[0][2:]
    parts.append(b"]]")
    return b"".join(parts)


def parse_replies(body: bytes) -> list[tuple[int, bytes]] | None:
    """Return the pairs of index and reply of a pack; ``None`` where ``body`` is no array.

    That is a reply to the batch as a whole. An index is an integer from 0 on, and may be
    beyond the batch, or be there twice. Raises ``ProtocolError`` for any other array.
    """
    if not is_batch(body):
        return None
    read = _json_pairs if encoding_of(body) is JSON else _msgpack_pairs
    try:
        return [(index, bytes(reply)) for index, reply in read(body)]
    except DECODE_FAULTS as error:
        raise _unreadable(error, body) from error


def read_replies(body: bytes) -> list[tuple[int, Any]] | None:
    """Return what :func:`parse_replies` does, with each reply decoded; of JSON alone.

    Raises ``ProtocolError`` too where a single reply cannot be decoded.
    """
    if not is_batch(body):
        return None
    try:
        return _json_values(body)
    except DECODE_FAULTS as error:
        raise _unreadable(error, body) from error


def is_whole(body: bytes, encoding: Encoding) -> bool:
    """Say whether ``body`` is one whole value of ``encoding``, fit to be part of a pack.

    A reply such as ``{}],[1,{}`` would otherwise forge the answer to another request, and
    one that is cut off would make all of its pack unreadable.
    """
    try:
        if len(body) > SHALLOW:
            return _fits_into_a_pack(body, encoding)
        if encoding is JSON:
            _json_value(body)
            return body.isascii() or bool(body.decode())
        _msgpack_value(body)
        return True
    except DECODE_FAULTS:
        return False


def _fits_into_a_pack(body: bytes, encoding: Encoding) -> bool:
    """Say whether the long ``body`` is whole, and in a pack not nested too deeply either."""
    if encoding is MSGPACK:
        _msgpack_pairs(b"\x91\x92\x00" + body)
        return True
    alone = len(_json_pairs(b"[[0,%b]]" % body)) == 1
    return alone and (body.isascii() or bool(body.decode()))


def _with_heads(
    items: Sequence[tuple[int, bytes]], heads: list[bytes], encoding: Encoding
) -> list[bytes]:
    """Return each reply's head and bytes, one after the other."""
    parts: list[bytes] = []
    # A loop: a comprehension of pairs takes twice the time.
    for index, reply in items:
        parts.append(heads[index] if index < MAX_BATCH else _head(index, encoding))
        parts.append(reply)
    return parts


def _head(index: int, encoding: Encoding) -> bytes:
    return b"],[%d," % index if encoding is JSON else b"\x92" + _msgpack_number(index)


def _declared(body: bytes) -> int:
    """Return how many elements a MessagePack array claims to have; 0 where it is none."""
    width = {0xDC: 2, 0xDD: 4}.get(body[0], 0)
    if width:
        return int.from_bytes(body[1 : 1 + width], "big")
    return body[0] & 0x0F if body[0] in ARRAY_BYTES else 0


def _require_count(count: int, most: int | None, body: bytes) -> None:
    if most is not None and count > most:
        raise ProtocolError(
            f"a batch of {count} requests is more than the {most} allowed; send several",
            body,
            limit=most,
        )


def _array_header(size: int) -> bytes:
    if size < 16:
        return bytes([0x90 | size])
    if size < 1 << 16:
        return b"\xdc" + size.to_bytes(2, "big")
    return b"\xdd" + size.to_bytes(4, "big")


def _unreadable(error: BaseException, body: bytes) -> ProtocolError:
    if isinstance(error, msgspec.ValidationError):
        return ProtocolError(field_fault(error), body)
    if encoding_of(body) is MSGPACK:
        return ProtocolError(f"not MessagePack: {error}", body)
    return ProtocolError(json_fault(error), body)
