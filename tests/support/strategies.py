"""Hypothesis strategies for what crosses the wire."""

from __future__ import annotations

from typing import Any

import msgpack
from hypothesis import strategies as st

from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.limits import MAX_HOSTNAME, MAX_ID, MAX_LABEL, MAX_METHOD

_letters = st.characters(codec="utf-8")


def text(least: int = 0, most: int = 40) -> st.SearchStrategy[str]:
    """Any text that UTF-8 can carry."""
    return st.text(_letters, min_size=least, max_size=most)


numbers = st.integers(0, (1 << 63) - 1)
counts = st.integers(0, 1 << 20)
names = text(1, MAX_METHOD)
labels = text(1, MAX_LABEL)
hostnames = text(1, MAX_HOSTNAME)
ids = text(1, MAX_ID)
fingerprints = st.binary(max_size=64)
flags = st.booleans()

_scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 64) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | text()
)

#: Values that JSON and MessagePack both can say.
values: st.SearchStrategy[Any] = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text(), inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(text(), values, max_size=20)

params = st.builds(
    wire.Param,
    name=names,
    type=text(),
    required=flags,
    default=values,
    doc=text(),
    secret=flags,
)
methods = st.builds(
    wire.Method,
    name=names,
    retry_safe=flags,
    timeout_ms=numbers,
    doc=text(),
    params=st.lists(params, max_size=3),
)
offers = st.builds(
    wire.Offer,
    agent=labels,
    methods=st.lists(methods, max_size=3),
    hosts=st.none() | st.lists(hostnames, max_size=3),
)
held = st.builds(
    wire.Held,
    task=numbers,
    attempt=counts,
    method=names,
    hostname=st.none() | text(),
    principal=text(),
    id=st.none() | ids,
    fingerprint=st.none() | fingerprints,
)
attempts = st.builds(wire.Attempt, task=numbers, attempt=counts)
results = st.builds(
    wire.Result,
    task=numbers,
    attempt=counts,
    code=text(0, 32),
    ran_us=numbers,
    body=st.binary(max_size=64),
)
assignments = st.builds(
    wire.Assignment,
    task=numbers,
    attempt=counts,
    method=names,
    hostname=st.none() | text(),
    principal=text(),
    id=st.none() | ids,
    fingerprint=st.none() | fingerprints,
    body=st.binary(max_size=64),
)

from_workers: st.SearchStrategy[wire.FromWorker] = st.one_of(
    st.builds(
        wire.Hello,
        version=st.integers(0, 1 << 30),
        label=labels,
        instance=text(8, 64),
        session=numbers,
        pid=numbers,
        slots=counts,
        ahead=counts,
        offers=st.lists(offers, max_size=3),
        held=st.lists(held, max_size=3),
    ),
    st.builds(
        wire.Results,
        seq=numbers,
        slots=counts,
        ahead=counts,
        items=st.lists(results, max_size=4),
    ),
    st.builds(wire.Heartbeat, slots=counts, ahead=counts),
    st.builds(wire.Return, slots=counts, ahead=counts, items=st.lists(attempts, max_size=4)),
    st.builds(
        wire.Have,
        query=numbers,
        state=st.sampled_from(wire.Possession),
        held=st.none() | held,
        result=st.none() | results,
    ),
    st.builds(wire.Drain),
    st.builds(wire.Bye),
)
_intervals = st.integers(1, 3_600_000)
from_brokers: st.SearchStrategy[wire.FromBroker] = st.one_of(
    st.builds(
        wire.Welcome,
        version=st.integers(0, 1 << 30),
        epoch=text(1, 64),
        heartbeat_ms=_intervals,
        liveness_ms=_intervals,
    ),
    st.builds(wire.Tasks, session=numbers, items=st.lists(assignments, max_size=4)),
    st.builds(wire.Ack, seq=numbers),
    st.builds(wire.Cancel, items=st.lists(attempts, max_size=4)),
    st.builds(
        wire.WhoHas,
        query=numbers,
        method=names,
        principal=text(),
        id=ids,
        fingerprint=fingerprints,
    ),
    st.builds(wire.Resync),
    st.builds(wire.Alive),
    st.builds(wire.Shutdown),
    st.builds(wire.Refused, reason=text()),
)


def _nested(depth: int, opening: bytes, closing: bytes = b"") -> bytes:
    return opening * depth + closing * depth


#: MessagePack that no message is made of, or that claims more than there is.
odd_messagepack = st.one_of(
    st.sampled_from(
        [
            b"",
            b"\xc1",
            b"\xdd\xff\xff\xff\xff",
            b"\xdf\xff\xff\xff\xff",
            b"\xdc\xff\xff",
            b"\xc6\xff\xff\xff\xff",
            b"\xdb\xff\xff\xff\xffabc",
            b"\xc9\xff\xff\xff\xff\x01",
            b"\x81\x01\x02",
            b"\x81\xc4\x01a\x01",
            b"\x81\xa1\xff\x01",
            b"\xa2\xed\xa0",
            b"\xa3\xed\xa0\x80",
            b"\xc7\x0c\xff\xff\xff\xff\xff" + b"\xff" * 8,
            msgpack.packb(float("nan")),
            msgpack.packb({"method": float("inf")}),
            msgpack.packb({"method": msgpack.ExtType(5, b"x")}),
            msgpack.packb({"method": "m", "at": msgpack.Timestamp(1, 2)}),
            msgpack.packb({"method": "m", "meta": {"deadline_ms": float("nan")}}),
        ]
    ),
    st.builds(_nested, st.integers(1, 5000), st.sampled_from([b"\x91", b"\x81\xa1a"])),
    st.binary(max_size=200),
)

#: JSON that is none, or not a request.
odd_json = st.one_of(
    st.sampled_from(
        [
            b"",
            b"{}",
            b"[1]",
            b'"helper"',
            b"null",
            b"not json",
            b'{"method": NaN}',
            b'{"method": "m", "x": NaN}',
            b'{"method": "m", "x": "\xff\xfe"}',
            b'{"method": "\xed\xa0\x80"}',
            b'{"method": "\\ud800"}',
            b'{"method": "m", "meta": {"deadline_ms": 1e999}}',
            b'{"method": "m", "meta": {"deadline_ms": -1}}',
            b'{"method": "m"} trailing',
            b"\xef\xbb\xbf{}",
            b'{"method": "m", "x": 1e999}',
        ]
    ),
    st.builds(_nested, st.integers(1, 5000), st.sampled_from([b"[", b'{"a":'])),
    st.builds(_nested, st.integers(1, 5000), st.just(b"["), st.just(b"]")),
    st.builds(
        lambda depth: b'{"method":"m","x":' + _nested(depth, b"[", b"]") + b"}",
        st.integers(1, 5000),
    ),
    st.binary(max_size=200),
)


@st.composite
def mutated(draw: st.DrawFn, originals: st.SearchStrategy[bytes]) -> bytes:
    """A valid text with some bytes changed, taken out or cut off."""
    data = bytearray(draw(originals))
    for _ in range(draw(st.integers(1, 4))):
        if not data:
            break
        where = draw(st.integers(0, len(data) - 1))
        kind = draw(st.sampled_from(["change", "remove", "cut", "insert"]))
        if kind == "change":
            data[where] = draw(st.integers(0, 255))
        elif kind == "remove":
            del data[where]
        elif kind == "insert":
            data.insert(where, draw(st.integers(0, 255)))
        else:
            del data[where:]
    return bytes(data)
