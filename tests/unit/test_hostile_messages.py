"""Messages that are made to cost: they are refused before they have cost anything."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgpack
import pytest

from vpoller_like.client import outcome
from vpoller_like.errors import ProtocolError
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.limits import MAX_HELD
from vpoller_like.protocol.reply import parse_reply


@pytest.mark.parametrize(
    "value",
    [
        [1, 0, 0, [[]] * 1_000_000],
        [1, 0, 0, [], [[]] * 1_000_000],
        [[[[]]] * 1_000_000],
    ],
    ids=["as results", "as a further field", "in a field of another type"],
)
def test_a_million_empty_lists_from_a_worker_are_not_made(value: Any) -> None:
    payload = msgpack.packb(value)
    tracemalloc.start()
    try:
        with_error = wire.decode_from_worker([b"\x02", payload])
    except ProtocolError:
        with_error = None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert with_error is None or with_error == wire.Results(1, 0, 0, [])
    assert peak < 1 << 20


@pytest.mark.parametrize(
    "header", [b"\xdd\xff\xff\xff\xff", b"\x94\x01\x00\x00\xdd\x7f\xff\xff\xff"]
)
def test_a_list_that_claims_more_than_there_is_is_not_made_room_for(header: bytes) -> None:
    tracemalloc.start()
    with pytest.raises(ProtocolError):
        wire.decode_from_worker([b"\x02", header])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_worker_cannot_bring_along_more_runs_than_it_can_have() -> None:
    hello = {"version": 1, "label": "w", "instance": "12345678", "session": 1, "pid": 1}
    held = [[number, 1, "m", None, "", str(number), b""] for number in range(MAX_HELD + 1)]
    fields = hello | {"slots": 1, "ahead": 0, "offers": []}
    whole = wire.decode_from_worker([b"\x01", msgpack.packb(fields | {"held": held[1:]})])
    assert isinstance(whole, wire.Hello)
    with pytest.raises(ProtocolError, match="held"):
        wire.decode_from_worker([b"\x01", msgpack.packb(fields | {"held": held})])


def test_text_is_not_taken_for_bytes() -> None:
    payload = msgpack.packb([1, 0, 0, [[1, 1, "", 0, "e30="]]])
    with pytest.raises(ProtocolError, match="expected bytes"):
        wire.decode_from_worker([b"\x02", payload])


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        (b"250", 0.25),
        (b"-1", 0.0),
        (b"-1e308", 0.0),
        (b"1e308", 86_400.0),
        (b"1" + b"0" * 400, 86_400.0),
        (b"-1" + b"0" * 400, 0.0),
        (b'"soon"', 0.0),
        (b"true", 0.001),
        (b"null", 0.0),
    ],
    ids=lambda value: value[:8] if isinstance(value, bytes) else None,
)
def test_a_broker_cannot_make_a_client_wait_forever_or_fall(said: bytes, seconds: float) -> None:
    body = b'{"success":1,"msg":"","error":{"code":"busy","retry_after_ms":%b}}' % said
    assert outcome.retry_after(parse_reply(body)) == seconds


def test_a_wait_that_is_not_a_number_is_none() -> None:
    error = {"code": "busy", "retry_after_ms": float("nan")}
    body = msgpack.packb({"success": 1, "msg": "", "error": error})
    assert outcome.retry_after(parse_reply(body)) == 0.0
