"""A client's request: what the broker reads of it, and its fingerprint."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import msgspec

from vpoller_like.errors import ProtocolError
from vpoller_like.protocol.encoding import (
    DECODE_FAULTS,
    JSON,
    canonical,
    decode_object,
    encoding_of,
    field_fault,
    json_fault,
    unpack,
)
from vpoller_like.protocol.limits import (
    MAX_HOSTNAME,
    MAX_ID,
    MAX_METHOD,
    MAX_MILLISECONDS,
    MAX_TRACEPARENT,
)

DEFAULT_PRIORITY = 4

Milliseconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_MILLISECONDS)]

#: What programs in C, vPoller's Zabbix module first, write for a text that they have not set.
UNSET = ("", "(null)", "null")

#: Keys of a request that are not the method's parameters.
RESERVED = ("method", "hostname", "meta")


class Meta(msgspec.Struct, frozen=True, gc=False):
    """What a request says of itself beside its parameters; every field is optional."""

    #: Names this request; sent again, it joins or gets the remembered reply.
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_ID)] | None = None
    #: Since this id was first sent; 0: this is the first time; None: unknown.
    age_ms: Milliseconds | None = None
    #: An earlier try of this id went to another broker.
    moved: bool = False
    #: How long the client still waits, over all its remaining tries.
    deadline_ms: Milliseconds | None = None
    #: 0 (last) to 9 (first) among what waits for the same method and host.
    priority: Annotated[int, msgspec.Meta(ge=0, le=9)] = DEFAULT_PRIORITY
    #: W3C trace context, handed on to the agent.
    traceparent: Annotated[str, msgspec.Meta(max_length=MAX_TRACEPARENT)] | None = None


class Head(msgspec.Struct, frozen=True, gc=False):
    """The keys of a request that route it."""

    method: Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_METHOD)]
    hostname: Annotated[str, msgspec.Meta(max_length=MAX_HOSTNAME)] | None = None
    meta: Meta | None = None


class _Asked(msgspec.Struct, frozen=True, gc=False):
    """The keys that say in what form the reply is wanted."""

    helper: Any = None
    meta: Any = None


_BRACE = ord("{")

_json_asked = msgspec.json.Decoder(_Asked).decode
_json_head = msgspec.json.Decoder(Head).decode
_json_heads = msgspec.json.Decoder(list[Head]).decode
_json_value = msgspec.json.Decoder().decode
_json_sorted = msgspec.json.Encoder(order="sorted").encode
#: Copies of one that was begun once: a third of the price of a new one.
new_json_mark = hashlib.blake2b(digest_size=16, person=b"JSON").copy
_new_msgpack_mark = hashlib.blake2b(digest_size=16, person=b"MSGPACK").copy


def parse_head(body: bytes) -> Head:
    """Read ``method``, ``hostname`` and ``meta`` of a request and skip the rest.

    Raises ``ProtocolError`` with a sentence that names the field.
    """
    try:
        if not body or body[0] == _BRACE or encoding_of(body) is JSON:
            return _json_head(body)
        return msgspec.convert(unpack(body), Head)
    except msgspec.ValidationError as error:
        raise ProtocolError(field_fault(error), body) from error
    except ProtocolError:
        raise
    except DECODE_FAULTS as error:
        raise ProtocolError(json_fault(error) if body else "empty body", body) from error


def parse_heads(body: bytes) -> list[Head] | None:
    """Return what :func:`parse_head` reads of each element of a batch, in one go.

    ``None`` where that cannot be: there is one that is no request, or it is not JSON.
    """
    try:
        return _json_heads(body)
    except DECODE_FAULTS:
        return None


def asks_for_text(body: bytes) -> bool:
    """Say whether the request ``body`` wants a helper's text, and that alone, for its reply."""
    try:
        if encoding_of(body) is JSON:
            asked = _json_asked(body)
        else:
            asked = msgspec.convert(unpack(body), _Asked)
    except (*DECODE_FAULTS, ProtocolError):
        return False
    helper = asked.helper
    return asked.meta is None and isinstance(helper, str) and helper not in UNSET


def fingerprint(body: bytes) -> bytes:
    """Return 16 bytes that are equal for bodies that are equal without ``meta``.

    The encoding counts: a remembered reply is kept as it was written. Raises
    ``ProtocolError`` where the body does not parse as a whole.
    """
    if body and body[0] == _BRACE:
        # The usual case, in as few steps as it can be; what is wrong is found out below.
        try:
            fields = _json_value(body)
            del fields["meta"]
            mark = new_json_mark()
            mark.update(_json_sorted(fields))
            return mark.digest()
        except (*DECODE_FAULTS, KeyError):
            pass
    return _any_fingerprint(body)


def _any_fingerprint(body: bytes) -> bytes:
    encoding = encoding_of(body)
    fields = decode_object(body)
    fields.pop("meta", None)
    try:
        text = canonical(fields, encoding)
    except DECODE_FAULTS as error:
        raise ProtocolError(f"cannot be compared with others: {error}", body) from error
    mark = new_json_mark() if encoding is JSON else _new_msgpack_mark()
    mark.update(text)
    return mark.digest()


def parameters(fields: dict[str, Any]) -> dict[str, Any]:
    """Return the method's own parameters among a request's ``fields``."""
    return {key: value for key, value in fields.items() if key not in RESERVED}
