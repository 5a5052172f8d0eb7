"""The client protocol: heads, fingerprints, envelopes and replies of any bytes."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from typing import Any

import msgpack
import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import strategies as some
from vpoller_like.errors import BY_CODE, ProtocolError, error_from_code
from vpoller_like.protocol.encoding import (
    Encoding,
    decode_object,
    encode,
    encoding_of,
    transcode,
)
from vpoller_like.protocol.envelope import EnvelopeError, split
from vpoller_like.protocol.limits import MAX_ENVELOPE_FRAMES
from vpoller_like.protocol.reply import (
    ReplyMeta,
    failure,
    is_envelope,
    parse_reply,
    success,
    with_meta,
)
from vpoller_like.protocol.request import Head, Meta, fingerprint, parameters, parse_head

encodings = st.sampled_from(Encoding)
odd_bodies = some.odd_json | some.odd_messagepack

metas = st.builds(
    Meta,
    id=st.none() | some.ids,
    age_ms=st.none() | st.floats(0, 1e12),
    moved=st.booleans(),
    deadline_ms=st.none() | st.floats(0, 1e12),
    priority=st.integers(0, 9),
    traceparent=st.none() | some.text(0, 256),
)
heads = st.builds(
    Head,
    method=some.names,
    hostname=st.none() | some.text(0, 255),
    meta=st.none() | metas,
)
reply_metas = st.builds(
    ReplyMeta,
    id=st.none() | some.ids,
    worker=st.none() | some.labels,
    attempts=st.integers(0, 100),
    queued_ms=st.none() | st.floats(0, 1e9),
    ran_ms=st.none() | st.floats(0, 1e9),
)


def outcome(read: Callable[..., Any], *arguments: Any) -> Any:
    """What ``read`` returns, or the sentence in its one kind of error."""
    try:
        return read(*arguments)
    except ProtocolError as error:
        return error.message


def written(head: Head, parameters: dict[str, Any], encoding: Encoding) -> bytes:
    fields = {**parameters, **msgspec.to_builtins(head)}
    return encode(fields, encoding)


# Requests ------------------------------------------------------------------------------


@given(heads, some.objects, encodings)
def test_a_head_is_read_back_as_it_was_written(
    head: Head, others: dict[str, Any], encoding: Encoding
) -> None:
    body = written(head, others, encoding)
    assert encoding_of(body) is encoding
    assert parse_head(body) == head


@given(heads, some.objects, encodings)
def test_all_other_keys_are_parameters(
    head: Head, others: dict[str, Any], encoding: Encoding
) -> None:
    fields = decode_object(written(head, others, encoding))
    reserved = {"method", "hostname", "meta"}
    assert parameters(fields) == {k: v for k, v in others.items() if k not in reserved}


@settings(max_examples=400)
@given(odd_bodies)
def test_any_bytes_are_a_request_or_one_error(body: bytes) -> None:
    assert isinstance(outcome(parse_head, body), Head | str)


@settings(max_examples=400)
@given(odd_bodies)
def test_any_bytes_have_a_fingerprint_or_one_error(body: bytes) -> None:
    mark = outcome(fingerprint, body)
    assert isinstance(mark, str) or len(mark) == 16


@settings(max_examples=400)
@given(odd_bodies)
def test_any_bytes_are_a_reply_or_one_error(body: bytes) -> None:
    fields = outcome(parse_reply, body)
    assert isinstance(fields, str) or fields["success"] in (0, 1)


@settings(max_examples=400)
@given(st.data(), encodings)
def test_a_request_with_changed_bytes_is_a_request_or_one_error(
    data: st.DataObject, encoding: Encoding
) -> None:
    body = written(data.draw(heads), data.draw(some.objects), encoding)
    changed = data.draw(some.mutated(st.just(body)))
    for read in (parse_head, fingerprint, parse_reply, decode_object):
        assert isinstance(outcome(read, changed), Head | bytes | dict | str)


@settings(max_examples=300)
@given(odd_bodies, encodings)
def test_any_bytes_are_transcoded_or_one_error(body: bytes, encoding: Encoding) -> None:
    other = outcome(transcode, body, encoding)
    assert isinstance(other, str) or encoding_of(other) is encoding


# Fingerprints --------------------------------------------------------------------------


def shuffled(value: Any, seed: int) -> Any:
    if isinstance(value, dict):
        items = [(key, shuffled(inner, seed)) for key, inner in value.items()]
        random.Random(seed).shuffle(items)
        return dict(items)
    if isinstance(value, list):
        return [shuffled(inner, seed) for inner in value]
    return value


@given(some.objects, metas, metas, st.integers(), st.sampled_from([None, 1, "\t"]))
def test_order_of_keys_and_white_space_and_meta_do_not_count(
    fields: dict[str, Any], one: Meta, two: Meta, seed: int, indent: int | str | None
) -> None:
    first = {**fields, "meta": msgspec.to_builtins(one)}
    second = shuffled({"meta": msgspec.to_builtins(two), **fields}, seed)
    second["meta"] = msgspec.to_builtins(two)
    assert fingerprint(json.dumps(first).encode()) == fingerprint(
        json.dumps(second, indent=indent, ensure_ascii=False).encode()
    )
    assert fingerprint(msgpack.packb(first)) == fingerprint(msgpack.packb(second))


small = st.dictionaries(
    st.sampled_from(["a", "b", "meta"]),
    st.sampled_from([0, 1, 1.0, True, None, "1", [1], [], {}, {"a": 1}]),
    max_size=3,
)


def without_meta(fields: dict[str, Any]) -> str:
    return json.dumps({k: v for k, v in fields.items() if k != "meta"}, sort_keys=True)


@settings(max_examples=400)
@given(small, small, encodings)
def test_fingerprints_are_equal_where_bodies_are_equal_and_nowhere_else(
    one: dict[str, Any], two: dict[str, Any], encoding: Encoding
) -> None:
    same = without_meta(one) == without_meta(two)
    assert (fingerprint(encode(one, encoding)) == fingerprint(encode(two, encoding))) is same


@given(some.objects)
def test_the_two_encodings_have_fingerprints_of_their_own(fields: dict[str, Any]) -> None:
    one, two = (fingerprint(encode(fields, encoding)) for encoding in Encoding)
    assert one != two


def test_bytes_and_the_text_that_json_would_make_of_them_are_different_bodies() -> None:
    assert fingerprint(msgpack.packb({"data": b"\0"})) != fingerprint(
        msgpack.packb({"data": "AA=="})
    )


def test_not_a_number_and_null_are_different_bodies() -> None:
    assert fingerprint(msgpack.packb({"data": float("nan")})) != fingerprint(
        msgpack.packb({"data": None})
    )


# Envelopes -----------------------------------------------------------------------------


@settings(max_examples=300)
@given(st.lists(st.binary(max_size=3) | st.just(b""), max_size=14), st.booleans())
def test_any_frames_are_an_envelope_and_a_body_or_one_error(
    frames: list[bytes], truncated: bool
) -> None:
    try:
        envelope, body = split(frames, truncated)
    except EnvelopeError as error:
        back = error.envelope
    else:
        check_parted(frames, envelope, body)
        assert not truncated
        return
    assert back == tuple(frames[: len(back)])
    assert len(back) == min(1, len(frames)) or back[-1] == b""


def check_parted(frames: list[bytes], envelope: tuple[bytes, ...], body: bytes) -> None:
    assert [*envelope, body] == frames
    assert envelope[-1] == b""
    assert b"" not in envelope[1:-1]
    assert len(envelope) - 1 <= MAX_ENVELOPE_FRAMES


@given(
    st.binary(min_size=1, max_size=5),
    st.lists(st.binary(min_size=1, max_size=4), max_size=MAX_ENVELOPE_FRAMES - 1),
    st.binary(max_size=20),
)
def test_whatever_stands_before_the_delimiter_is_the_envelope(
    peer: bytes, correlation: list[bytes], body: bytes
) -> None:
    frames = [peer, *correlation, b"", body]
    assert split(frames) == ((peer, *correlation, b""), body)


# Replies -------------------------------------------------------------------------------


@given(some.values, some.text(), reply_metas, encodings)
def test_meta_is_added_to_a_success_and_all_else_stays(
    result: Any, msg: str, meta: ReplyMeta, encoding: Encoding
) -> None:
    body = success(result, msg, encoding)
    assert is_envelope(body, encoding)
    assert parse_reply(with_meta(body, meta, encoding)) == {
        **parse_reply(body),
        "meta": msgspec.to_builtins(meta),
    }


@given(st.sampled_from(sorted(BY_CODE)), some.text(1), reply_metas, encodings)
def test_meta_is_added_to_a_failure_and_all_else_stays(
    code: str, msg: str, meta: ReplyMeta, encoding: Encoding
) -> None:
    body = failure(error_from_code(code, msg, retry_after_ms=5), encoding)
    fields = parse_reply(with_meta(body, meta, encoding))
    assert fields.pop("meta") == msgspec.to_builtins(meta)
    assert fields == parse_reply(body)
    assert fields["error"]["code"] == code


@settings(max_examples=60)
@given(st.sampled_from([0, 1, 14, 15, 16, 17, 65534, 65535, 65536]), reply_metas, encodings)
def test_meta_is_added_to_an_object_of_any_size(
    size: int, meta: ReplyMeta, encoding: Encoding
) -> None:
    fields = {f"k{number}": number for number in range(size)}
    body = encode(fields, encoding)
    added = decode_object(with_meta(body, meta, encoding))
    assert added == {**fields, "meta": msgspec.to_builtins(meta)}


@given(some.objects, reply_metas, st.sampled_from([None, 2]), st.sampled_from(["", " ", "\r\n\t"]))
def test_meta_is_added_to_a_reply_that_was_written_with_white_space(
    fields: dict[str, Any], meta: ReplyMeta, indent: int | None, space: str
) -> None:
    fields.pop("meta", None)
    text = json.dumps(fields, indent=indent)
    body = (space + text[:-1] + space + "}" + space).encode()
    added = decode_object(with_meta(body, meta, Encoding.JSON))
    assert added == {**fields, "meta": msgspec.to_builtins(meta)}


@settings(max_examples=400)
@given(odd_bodies, reply_metas, encodings)
def test_what_passes_for_an_envelope_can_be_given_meta(
    body: bytes, meta: ReplyMeta, encoding: Encoding
) -> None:
    if is_envelope(body, encoding):
        assert is_envelope(with_meta(body, meta, encoding), encoding)


def test_a_map_that_claims_more_pairs_than_it_has_bytes_is_no_envelope() -> None:
    assert not is_envelope(b"\xdf\xff\xff\xff\xff", Encoding.MSGPACK)
