"""The two encodings of a body: JSON, and MessagePack by its first byte.

A MessagePack map starts with 0x80-0x8f, 0xde or 0xdf, an array with 0x90-0x9f, 0xdc or
0xdd. None of these starts a JSON text, so no header is needed to tell them apart.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any

import msgspec

from vpoller_like.errors import ProtocolError


class Encoding(enum.Enum):
    """How a body is written; a reply is written as its request was."""

    JSON = "JSON"
    MSGPACK = "MessagePack"


#: A member of an enum is looked up for four times the price of a global on Python 3.11.
JSON = Encoding.JSON
MSGPACK = Encoding.MSGPACK

_MAP_BYTES = frozenset([*range(0x80, 0x90), 0xDE, 0xDF])
#: What a MessagePack array begins with.
ARRAY_BYTES = frozenset([*range(0x90, 0xA0), 0xDC, 0xDD])
_MSGPACK_BYTES = _MAP_BYTES | ARRAY_BYTES

#: What the decoders raise on bad bytes. msgspec's errors are ValueErrors, and so are
#: UnicodeDecodeError and msgpack's; a deep nesting is a RecursionError.
DECODE_FAULTS = (ValueError, TypeError, OverflowError, RecursionError, MemoryError)

_json_decode = msgspec.json.Decoder().decode
_json_sorted = msgspec.json.Encoder(order="sorted").encode
_msgpack_sorted = msgspec.msgpack.Encoder(order="sorted").encode


def encoding_of(body: bytes) -> Encoding:
    """Return how ``body`` is written, judged by its first byte."""
    return MSGPACK if body and body[0] in _MSGPACK_BYTES else JSON


def unpack(data: bytes) -> Any:
    """Return the value of one MessagePack document; raise ``ProtocolError`` on any fault."""
    import msgpack  # here: most clients never need it, and importing it takes milliseconds

    try:
        return msgpack.unpackb(data, raw=False, strict_map_key=True, use_list=True)
    except (*DECODE_FAULTS, msgpack.exceptions.UnpackException) as error:
        raise ProtocolError(f"not MessagePack: {error}", data) from error


def pack(value: Any, default: Callable[[Any], Any] | None = None) -> bytes:
    """Return ``value`` as one MessagePack document."""
    import msgpack

    packed: bytes = msgpack.packb(value, default=default, use_bin_type=True)
    return packed


def decode_object(body: bytes) -> dict[str, Any]:
    """Return the object that a request or reply body holds, in either encoding."""
    if body and body[0] in _MSGPACK_BYTES:
        value = unpack(body)
    else:
        try:
            value = _json_decode(body)
        except DECODE_FAULTS as error:
            raise ProtocolError(json_fault(error), body) from error
    if type(value) is not dict:
        raise ProtocolError(f"expected a JSON object, got {kind_of(value)}", body)
    return value


def encode(value: Any, encoding: Encoding, enc_hook: Callable[[Any], Any] | None = None) -> bytes:
    """Write ``value``; ``enc_hook`` turns what JSON does not know into what it does.

    Raises ``TypeError``, ``ValueError``, ``OverflowError`` or ``RecursionError`` for a
    value that cannot be written.
    """
    if encoding is JSON:
        return msgspec.json.encode(value, enc_hook=enc_hook)
    return pack(msgspec.to_builtins(value, str_keys=True, enc_hook=enc_hook))


def transcode(body: bytes, encoding: Encoding) -> bytes:
    """Write the object in ``body`` as ``encoding``; raise ``ProtocolError`` on any fault."""
    try:
        return encode(decode_object(body), encoding)
    except ProtocolError:
        raise
    except DECODE_FAULTS as error:
        raise ProtocolError(str(error), body) from error


def canonical(value: Any, encoding: Encoding) -> bytes:
    """Write ``value`` so that equal values give equal bytes (objects' keys sorted).

    In the encoding that it came in: JSON has no words for MessagePack's bytes and NaN.
    Raises as :func:`encode` does.
    """
    return _json_sorted(value) if encoding is JSON else _msgpack_sorted(value)


def json_fault(error: BaseException) -> str:
    """Say in one line what is wrong with a JSON text."""
    if isinstance(error, UnicodeDecodeError):
        return "not valid JSON: the text is not UTF-8"
    if isinstance(error, RecursionError):
        return "not valid JSON: nested too deeply"
    return f"not valid JSON: {error}".replace("JSON is malformed: ", "")


def field_fault(error: msgspec.ValidationError) -> str:
    """Turn msgspec's complaint into one that starts with the field's name.

    ``Expected `str`, got `int` - at `$.method``` becomes ``method: expected str, got int``.
    """
    text, _, path = str(error).partition(" - at `$")
    text = text.replace("`", "").replace("Object missing required field", "missing field")
    path = path.strip("`").lstrip(".")
    if path:
        return f"{path}: {text[:1].lower()}{text[1:]}"
    if text.startswith("Expected object, got"):
        return f"expected a JSON object{text.removeprefix('Expected object')}"
    return text[:1].lower() + text[1:]


def kind_of(value: Any) -> str:
    """Return JSON's name for the kind of ``value``."""
    kinds = {dict: "object", list: "array", str: "string", bool: "boolean", type(None): "null"}
    return kinds.get(type(value), "number")
