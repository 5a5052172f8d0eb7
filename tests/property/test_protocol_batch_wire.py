"""Batches and packs of any requests and replies, and any bytes in their place."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import msgpack
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.support import strategies as some
from vpoller_like.errors import ProtocolError
from vpoller_like.protocol.batch import (
    is_batch,
    is_whole,
    join_replies,
    join_requests,
    parse_replies,
    split,
)
from vpoller_like.protocol.encoding import Encoding, encode, encoding_of
from vpoller_like.protocol.request import parse_head, parse_heads

encodings = st.sampled_from(Encoding)
spaces = st.text(" \t\r\n", max_size=3).map(str.encode)


def decoded(body: bytes) -> Any:
    if encoding_of(body) is Encoding.JSON:
        return json.loads(body)
    return msgpack.unpackb(body, strict_map_key=False)


@settings(max_examples=50)
@given(st.lists(some.objects, max_size=4), encodings)
def test_a_batch_is_taken_apart_as_it_was_put_together(
    requests: list[dict[str, Any]], encoding: Encoding
) -> None:
    bodies = [encode(request, encoding) for request in requests]
    batch = join_requests(bodies, encoding)
    assert is_batch(batch)
    assert encoding_of(batch) is encoding
    assert decoded(batch) == requests
    assert split(batch) == bodies


@given(st.lists(some.values, max_size=5), st.sampled_from([None, 1]), spaces)
def test_a_batch_may_be_written_with_white_space(
    elements: list[Any], indent: int | None, space: bytes
) -> None:
    body = space + json.dumps(elements, indent=indent).encode() + space
    assert is_batch(body)
    assert [json.loads(element) for element in split(body)] == elements


requests = st.fixed_dictionaries(
    {"method": some.names},
    optional={
        "hostname": st.none() | some.text(0, 10),
        "meta": st.fixed_dictionaries({}, optional={"id": some.ids, "age_ms": st.integers(0, 9)}),
        "data": some.values,
    },
)


@given(st.lists(requests, max_size=5))
def test_the_heads_of_a_batch_are_those_of_its_requests(elements: list[dict[str, Any]]) -> None:
    bodies = [json.dumps(element).encode() for element in elements]
    assert parse_heads(join_requests(bodies, Encoding.JSON)) == list(map(parse_head, bodies))


@given(st.lists(requests, max_size=3), st.data())
def test_there_are_no_heads_where_one_element_is_no_request(
    elements: list[Any], data: st.DataObject
) -> None:
    wrong = data.draw(
        some.values | st.just({"method": 1}) | requests.map(lambda r: {**r, "meta": 1})
    )
    assume(
        not isinstance(wrong, dict) or not isinstance(wrong.get("method"), str) or "meta" in wrong
    )
    elements.insert(data.draw(st.integers(0, len(elements))), wrong)
    assert parse_heads(json.dumps(elements).encode()) is None


@given(st.lists(requests, max_size=3))
def test_the_heads_of_a_messagepack_batch_are_not_read_at_once(elements: list[Any]) -> None:
    assert parse_heads(msgpack.packb(elements)) is None


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, (1 << 31) - 1), some.objects), max_size=4), encodings)
def test_a_pack_is_taken_apart_as_it_was_put_together(
    replies: list[tuple[int, dict[str, Any]]], encoding: Encoding
) -> None:
    items = [(index, encode(reply, encoding)) for index, reply in replies]
    pack = join_replies(items, encoding)
    assert encoding_of(pack) is encoding
    assert decoded(pack) == [[index, reply] for index, reply in replies]
    assert parse_replies(pack) == items


@settings(max_examples=500)
@given(some.odd_json | some.odd_messagepack | some.mutated(st.just(b'[[0,{"success":0}],[1,{}]]')))
def test_any_bytes_are_a_batch_or_one_error(body: bytes) -> None:
    for read in (split, parse_replies):
        with contextlib.suppress(ProtocolError):
            assert read(body) is None or is_batch(body)


@settings(max_examples=500)
@given(some.odd_json | some.odd_messagepack | some.mutated(st.just(b'{"success":0,"msg":"\xc3"}')))
def test_whatever_is_whole_leaves_its_neighbours_alone(body: bytes) -> None:
    for encoding in Encoding:
        if is_whole(body, encoding):
            other = encode({"success": 1}, encoding)
            pack = join_replies([(0, other), (1, body), (2, other)], encoding)
            assert parse_replies(pack) == [(0, other), (1, body.strip()), (2, other)] or (
                encoding is Encoding.MSGPACK
                and parse_replies(pack) == [(0, other), (1, body), (2, other)]
            )
