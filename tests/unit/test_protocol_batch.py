"""Batches and packs: put together and taken apart without decoding what they hold."""

from __future__ import annotations

import json
import sys
import time
import tracemalloc

import msgpack
import pytest

from vpoller_like.errors import ProtocolError
from vpoller_like.protocol.batch import (
    is_batch,
    is_whole,
    join_replies,
    join_requests,
    parse_replies,
    split,
)
from vpoller_like.protocol.encoding import Encoding, encoding_of

JSON, MSGPACK = Encoding.JSON, Encoding.MSGPACK


# What is a batch -----------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"[",
        b" \t\r\n[{}]",
        b"\x90",
        b"\x9f",
        b"\xdc\x00\x00",
        b"\xdd\x00\x00\x00\x00",
    ],
)
def test_an_array_is_a_batch_whatever_it_holds(body: bytes) -> None:
    assert is_batch(body)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{}",
        b' {"a": [1]}',
        b"\x80",
        b"\xde\x00\x00",
        b"\xa0",
        b"null",
        b"\x0b[]",
        b"\xef\xbb\xbf[]",
    ],
)
def test_what_does_not_begin_an_array_is_none(body: bytes) -> None:
    assert not is_batch(body)


@pytest.mark.parametrize("body", [b"\x90", b"\x9f", b"\xdc\x00\x00", b"\xdd\x00\x00\x00\x00"])
def test_a_messagepack_array_is_known_by_its_first_byte(body: bytes) -> None:
    assert encoding_of(body) is MSGPACK


# Taking a batch apart ------------------------------------------------------------------


def test_elements_keep_their_bytes() -> None:
    body = b' [ {"method" : "a"} ,{"method":"b","x":[1, 2]}\n, 7 , "\\u0041" ] '
    assert split(body) == [b'{"method" : "a"}', b'{"method":"b","x":[1, 2]}', b"7", b'"\\u0041"']


def test_an_empty_array_has_no_elements() -> None:
    assert split(b"[ ]") == split(b"\x90") == split(b"\xdc\x00\x00") == []


@pytest.mark.parametrize("count", [1, 15, 16, 65_535, 65_536])
def test_messagepack_arrays_of_every_size_are_taken_apart(count: int) -> None:
    elements = [msgpack.packb({"n": number}) for number in range(count)]
    assert split(msgpack.packb([{"n": number} for number in range(count)])) == elements
    assert split(join_requests(elements, MSGPACK)) == elements


def test_elements_that_are_no_requests_are_left_to_who_reads_them() -> None:
    assert split(b'[null, {}, [[]], "\xff"]') == [b"null", b"{}", b"[[]]", b'"\xff"']
    assert split(b"\x93\xc0\x80\x7b") == [b"\xc0", b"\x80", b"\x7b"]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "not valid JSON"),
        (b"[", "not valid JSON: Input data was truncated"),
        (b"[{}", "not valid JSON"),
        (b"[{},]", "not valid JSON"),
        (b"[{}]x", "not valid JSON: trailing characters"),
        (b"[{}][{}]", "not valid JSON: trailing characters"),
        (b"[NaN]", "not valid JSON"),
        (b'["\x01"]', "not valid JSON"),
        (b"{}", "expected array, got object"),
        (b"\x91", "not MessagePack"),
        (b"\x91\xc1", "not MessagePack"),
        (b"\x91\x80\x80", "not MessagePack"),
        (b"\xdc\x00", "not MessagePack"),
        (b"\x81\x01\x02", "expected array, got object"),
    ],
)
def test_what_is_no_whole_array_is_one_error(body: bytes, why: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        split(body)
    assert why in caught.value.message


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 500_000,
        b"[" * 500_000 + b"]" * 500_000,
        b'[{"a":' * 100_000,
        b"[" + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]",
        b"\x91" * 1_000_000,
        b"\x91" + b"\x81\xa1a" * 300_000,
    ],
)
def test_nesting_without_end_is_one_error(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        split(body)
    with pytest.raises(ProtocolError):
        parse_replies(body)
    assert not is_whole(body, encoding_of(body))


@pytest.mark.parametrize(
    ("encoding", "level", "end"), [(JSON, b"[", b"]"), (MSGPACK, b"\x91", b"")]
)
def test_what_is_too_deep_in_a_pack_is_not_whole(
    encoding: Encoding, level: bytes, end: bytes
) -> None:
    last = b"1" if encoding is JSON else b"\x01"
    depths = range(1, sys.getrecursionlimit() + 10)
    replies = [level * depth + last + end * depth for depth in depths]
    fit = [reply for reply in replies if is_whole(reply, encoding)]
    assert 0 < len(fit) < len(replies)
    for reply in fit:
        assert parse_replies(join_replies([(0, reply)], encoding)) == [(0, reply)]


@pytest.mark.parametrize("space", [0, 10, 1000])
def test_a_long_reply_forges_nothing_either(space: int) -> None:
    pad = b" " * space
    for reply in (b"{}],[1,{}", b"1]]", b"1,1", b"{}]", b'"', b'{"a":"\xff"}', b""):
        assert not is_whole(reply + pad, JSON)
    assert is_whole(b"{}" + pad, JSON)
    text = msgpack.packb("x" * space)
    assert is_whole(text, MSGPACK)
    assert not is_whole(text + b"\x80", MSGPACK)
    assert not is_whole(b"\x91" + text + text, MSGPACK)


@pytest.mark.parametrize("count", [2, 1 << 20, (1 << 32) - 1])
def test_a_count_that_lies_takes_no_memory(count: int) -> None:
    header = b"\xdd" + count.to_bytes(4, "big")
    tracemalloc.start()
    try:
        for take_apart, element in ((split, b"\x80"), (parse_replies, b"\x92\x00\x80")):
            with pytest.raises(ProtocolError, match="truncated"):
                take_apart(header + element)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("encoding", Encoding)
def test_more_elements_than_allowed_are_one_error(encoding: Encoding) -> None:
    element = {JSON: b"{}", MSGPACK: b"\x80"}[encoding]
    assert len(split(join_requests([element] * 20, encoding), most=20)) == 20
    for count in (21, 70_000):
        with pytest.raises(ProtocolError, match=f"{count} requests is more than the 20"):
            split(join_requests([element] * count, encoding), most=20)


def test_a_claim_of_too_many_elements_is_refused_before_they_are_read() -> None:
    with pytest.raises(ProtocolError, match="4294967295 requests"):
        split(b"\xdd\xff\xff\xff\xff", most=1000)


def test_as_many_elements_as_a_message_can_have_are_taken_apart_within_seconds() -> None:
    started = time.monotonic()
    assert len(split(b"[" + b"1," * 524_000 + b"1]")) == 524_001
    assert time.monotonic() - started < 10


# Packs ---------------------------------------------------------------------------------


def test_a_pack_is_an_array_of_pairs() -> None:
    items = [(7, b'{"success": 0}'), (0, b'{"success":1}'), (1000, b"[]"), (999, b"{}")]
    pack = join_replies(items, JSON)
    assert json.loads(pack) == [[7, {"success": 0}], [0, {"success": 1}], [1000, []], [999, {}]]
    assert parse_replies(pack) == items


def test_a_messagepack_pack_is_an_array_of_pairs() -> None:
    items = [(index, msgpack.packb({"n": index})) for index in (0, 127, 128, 999, 1000, 70_000)]
    pack = join_replies(items, MSGPACK)
    assert msgpack.unpackb(pack) == [[index, {"n": index}] for index, _ in items]
    assert parse_replies(pack) == items


def test_an_empty_pack_is_an_empty_array() -> None:
    assert join_replies([], JSON) == b"[]"
    assert parse_replies(b"[]") == parse_replies(join_replies([], MSGPACK)) == []


def test_a_reply_to_the_batch_as_a_whole_is_no_pack() -> None:
    assert parse_replies(b'{"success": 1, "msg": "[no]"}') is None
    assert parse_replies(msgpack.packb({"success": 1})) is None
    assert parse_replies(b"") is None


@pytest.mark.parametrize(
    "body",
    [
        b"[",
        b"[1]",
        b"[[1]]",
        b"[[1,{},2]]",
        b'[["1",{}]]',
        b"[[-1,{}]]",
        b"[[1.5,{}]]",
        b"[[null,{}]]",
        b"[[true,{}]]",
        b"[[0,{}],[1,{]]",
        b"[[0,{}]]]",
        b"\x91\x01",
        b"\x91\x92\xff\x80",
        b"\x91\x92\xc3\x80",
        b"\x92\x92\x00\x80",
        b"[[" + b"9" * 100 + b",{}]]",
    ],
)
def test_an_array_that_is_no_pack_is_one_error(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_replies(body)


# What may be part of a pack ------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b'{"success":0},[1,{"success":0}',
        b'{"success":0}],[1,{"success":0}',
        b'{"success":0',
        b'{"success":0}}',
        b'{"success":}',
        b'{"success":0, "msg": "\xff"}',
        b'{"success":0, "msg": "\xed\xa0\x80"}',
        b'{"success":0, "msg": "\n"}',
        b"",
    ],
)
def test_a_reply_that_would_spoil_its_pack_is_not_whole(body: bytes) -> None:
    assert not is_whole(body, JSON)


def test_a_whole_reply_is_one_value_of_the_encoding() -> None:
    assert is_whole(b' {"success": 0, "msg": "\xc3\xa4"} ', JSON)
    assert is_whole(msgpack.packb({"success": 0}), MSGPACK)
    assert not is_whole(b'{"success": 0}', MSGPACK)
    assert not is_whole(msgpack.packb({"success": 0}), JSON)
    assert not is_whole(b"\x80\x80", MSGPACK)
    assert not is_whole(b"\x81\xa1a", MSGPACK)
    assert not is_whole(b"", MSGPACK)
