"""The protocols' sentences and limits: each fault names its field, each limit is kept."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from vpoller_like.errors import Busy, ProtocolError, TaskFailed, error_from_code
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import Encoding, decode_object, encode, encoding_of
from vpoller_like.protocol.envelope import EnvelopeError, split
from vpoller_like.protocol.limits import MAX_ENVELOPE_FRAMES, MAX_HOSTNAME, MAX_ID, MAX_METHOD
from vpoller_like.protocol.reply import (
    ReplyMeta,
    failure,
    failure_fields,
    is_envelope,
    parse_reply,
    success,
    with_meta,
)
from vpoller_like.protocol.request import (
    DEFAULT_PRIORITY,
    Head,
    Meta,
    fingerprint,
    parse_head,
)

# Requests ------------------------------------------------------------------------------


def fault(body: bytes) -> str:
    with pytest.raises(ProtocolError) as caught:
        parse_head(body)
    return caught.value.message


@pytest.mark.parametrize("encoding", Encoding)
@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "missing field method"),
        ({"method": 5}, "method: expected str, got int"),
        ({"method": None}, "method: expected str, got null"),
        ({"method": ""}, "method: expected str of length >= 1"),
        ({"method": "m", "hostname": []}, "hostname: expected str | null, got array"),
        ({"method": "m", "meta": 1}, "meta: expected object | null, got int"),
        ({"method": "m", "meta": {"id": 1}}, "meta.id: expected str | null, got int"),
        ({"method": "m", "meta": {"age_ms": -1}}, "meta.age_ms: expected float >= 0.0"),
        ({"method": "m", "meta": {"moved": "yes"}}, "meta.moved: expected bool, got str"),
        ({"method": "m", "meta": {"priority": 10}}, "meta.priority: expected int <= 9"),
        ({"method": "m", "meta": {"priority": 1.5}}, "meta.priority: expected int, got float"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], sentence: str, encoding: Encoding) -> None:
    assert fault(encode(fields, encoding)).startswith(sentence)


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "empty body"),
        (b"[1]", "expected a JSON object, got array"),
        (b'"helper"', "expected a JSON object, got str"),
        (b"null", "expected a JSON object, got null"),
        (b"{", "not valid JSON: Input data was truncated"),
        (b"not json", "not valid JSON: invalid character"),
        (b'{"method": "\xff"}', "not valid JSON: the text is not UTF-8"),
        (b'{"method": "m", "x": ' + b"[" * 99_999, "not valid JSON: nested too deeply"),
        (b"\x81\xa6method", "not MessagePack: "),
    ],
)
def test_a_body_that_is_no_object_is_told_why(body: bytes, sentence: str) -> None:
    assert fault(body).startswith(sentence)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("field", ["age_ms", "deadline_ms"])
def test_a_time_that_is_no_number_is_refused(field: str, value: float) -> None:
    assert field in fault(msgpack.packb({"method": "m", "meta": {field: value}}))


@pytest.mark.parametrize(
    ("limit", "fields"),
    [
        (MAX_METHOD, lambda text: {"method": text}),
        (MAX_HOSTNAME, lambda text: {"method": "m", "hostname": text}),
        (MAX_ID, lambda text: {"method": "m", "meta": {"id": text}}),
    ],
)
def test_names_have_a_limit_in_characters(limit: int, fields: Any) -> None:
    parse_head(encode(fields("é" * limit), Encoding.JSON))
    assert f"length <= {limit}" in fault(encode(fields("x" * (limit + 1)), Encoding.JSON))


def test_a_request_needs_nothing_but_its_method() -> None:
    assert parse_head(b'{"method": "m"}') == Head("m", None, None)


def test_a_request_of_a_later_version_may_say_more() -> None:
    head = parse_head(b'{"method": "m", "meta": {"colour": "red"}, "other": 1}')
    assert head.meta == Meta(priority=DEFAULT_PRIORITY)


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"", Encoding.JSON),
        (b"{}", Encoding.JSON),
        (b" {}", Encoding.JSON),
        (b"\x80", Encoding.MSGPACK),
        (b"\x8f", Encoding.MSGPACK),
        (b"\xde", Encoding.MSGPACK),
        (b"\xdf", Encoding.MSGPACK),
        (b"\x90", Encoding.MSGPACK),
        (b"\xdd", Encoding.MSGPACK),
        (b"\xff", Encoding.JSON),
    ],
)
def test_the_first_byte_tells_the_encoding(body: bytes, encoding: Encoding) -> None:
    assert encoding_of(body) is encoding


def test_an_error_keeps_the_start_of_what_was_wrong_and_no_more() -> None:
    with pytest.raises(ProtocolError) as caught:
        decode_object(b"[" + b"x" * 100_000)
    assert caught.value.data == b"[" + b"x" * 63


@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        (Encoding.JSON, "a048d7a15ed18e6fbebd3aa47380c77f"),
        (Encoding.MSGPACK, "a1baaf8b3752f872bbd286026bf5933b"),
    ],
)
def test_a_fingerprint_is_the_same_in_every_version(encoding: Encoding, mark: str) -> None:
    """Workers keep what an earlier broker, or another one, gave them."""
    fields = {"method": "vm.get", "name": "a\xe9", "n": [1, 2.5, None], "meta": {"id": "x"}}
    assert fingerprint(encode(fields, encoding)).hex() == mark


@pytest.mark.parametrize(
    "other",
    [
        b'{"n": 1, "method": "m"}',
        b'{"method": "m", "meta": 5, "n": 1, "meta": {"id": "y"}}',
        b'{"method": "x", "method": "m", "n": 2, "n": 1, "meta": {}}',
        b' {"\\u006dethod": "\\u006d", "n": 1, "meta": {"id": "x"}}\n',
        b'{"method": "m", "\\u006deta": {"id": "x"}, "n": 1}',
    ],
)
def test_spellings_of_one_request_have_one_fingerprint(other: bytes) -> None:
    assert fingerprint(other) == fingerprint(b'{"method":"m","n":1,"meta":{"id":"x"}}')


@pytest.mark.parametrize("meta", [b"", b',"meta":{"id":"x"}'])
@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b'{"method":"m","n":nan%b}', "not valid JSON: invalid character"),
        (b'{"method":"m","n":"\xff"%b}', "not valid JSON: the text is not UTF-8"),
        (b'{"method":"m"%b}}', "not valid JSON: trailing characters"),
        (b'{"method":"m","n":' + b"[" * 100_000 + b"]" * 100_000 + b"%b}", "nested too deeply"),
    ],
)
def test_a_body_without_a_fingerprint_is_told_why(body: bytes, meta: bytes, sentence: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        fingerprint(body % meta)
    assert sentence in caught.value.message


# Envelopes -----------------------------------------------------------------------------


def test_the_delimiter_may_be_the_eighth_frame_and_not_the_ninth() -> None:
    tags = [b"%d" % number for number in range(MAX_ENVELOPE_FRAMES)]
    assert split([b"peer", *tags[:-1], b"", b"body"])[1] == b"body"
    with pytest.raises(EnvelopeError, match="no empty delimiter") as caught:
        split([b"peer", *tags, b"", b"body"])
    assert caught.value.envelope == (b"peer",)


def test_an_empty_body_is_a_body() -> None:
    assert split([b"peer", b"", b""]) == ((b"peer", b""), b"")


# Replies -------------------------------------------------------------------------------


def test_no_detail_takes_the_place_of_the_code() -> None:
    error = Busy("full", code="mine", retryable=False, retry_after_ms=7)
    assert failure_fields(error)["error"] == {
        "code": "busy",
        "retryable": True,
        "retry_after_ms": 7,
    }


def test_a_detail_that_json_does_not_know_is_shown_as_text() -> None:
    reply = parse_reply(failure(TaskFailed("x", what=object)))
    assert "object" in reply["error"]["what"]


def test_a_code_of_a_later_version_is_an_error_all_the_same() -> None:
    error = error_from_code("on_fire", "it burns", heat=9)
    assert (str(error), error.details) == ("it burns", {"heat": 9})


@pytest.mark.parametrize("body", [b"{}", b'{"success": 2}', b'{"success": null}', b"[0]", b""])
def test_a_reply_that_says_neither_success_nor_failure_is_none(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        parse_reply(body)


def test_meta_says_only_what_is_known() -> None:
    body = with_meta(success(1, "ok"), ReplyMeta(id="x"), Encoding.JSON)
    assert decode_object(body)["meta"] == {"id": "x"}


def test_meta_is_added_to_an_empty_object_with_white_space() -> None:
    """A comma was put after the brace."""
    assert decode_object(with_meta(b"{ \n}", ReplyMeta(), Encoding.JSON)) == {"meta": {}}


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (b"", Encoding.JSON),
        (b"[1]", Encoding.JSON),
        (b'{"cut": "off', Encoding.JSON),
        (b"", Encoding.MSGPACK),
        (b"\x91\x01", Encoding.MSGPACK),
        (b"\xde\x00", Encoding.MSGPACK),
        (b"\x82\xa1a\x01", Encoding.MSGPACK),
        (b"\xdf\xff\xff\xff\xff", Encoding.MSGPACK),
    ],
)
def test_what_has_not_the_outside_of_an_object_is_no_envelope(
    body: bytes, encoding: Encoding
) -> None:
    assert not is_envelope(body, encoding)


# Workers -------------------------------------------------------------------------------


def test_a_command_is_one_byte_and_a_workers_are_below_the_brokers() -> None:
    commands: dict[str, int] = dict(wire.Command.__members__)
    workers = {"HELLO", "RESULTS", "HEARTBEAT", "RETURN", "HAVE", "DRAIN", "BYE"}
    assert {name for name, byte in commands.items() if byte < 0x80} == workers
    assert all(byte <= 0xFF for byte in commands.values())


def test_a_frame_is_what_the_documentation_says_it_is() -> None:
    assert wire.encode(wire.Heartbeat(3, 1)) == (b"\x03", b"\x92\x03\x01")
    assert wire.encode(wire.Tasks(2, [])) == (b"\x82", b"\x92\x02\x90")
    assert wire.encode(wire.Bye()) == (b"\x07", b"\x90")


def worker_fault(command: int, value: Any) -> str:
    with pytest.raises(ProtocolError) as caught:
        wire.decode_from_worker([bytes([command]), msgpack.packb(value)])
    return caught.value.message


def test_a_wrong_field_of_a_workers_message_is_named() -> None:
    assert worker_fault(0x03, ["x", 0]).startswith("Heartbeat: [0]: expected int, got str")
    assert worker_fault(0x03, [-1, 0]).startswith("Heartbeat: [0]: expected int >= 0")
    assert worker_fault(0x03, {}).startswith("Heartbeat: expected array, got object")
    assert worker_fault(0x01, {"version": 1}).startswith("Hello: missing field label")


@pytest.mark.parametrize("frames", [[], [b"\x03"], [b"\x03", b"\x92\x01\x00", b""]])
def test_a_workers_message_has_two_frames(frames: list[bytes]) -> None:
    with pytest.raises(ProtocolError, match=f"got {len(frames)} frames"):
        wire.decode_from_worker(frames)


@pytest.mark.parametrize("command", [b"", b"\x00", b"\x81", b"\x03\x03"])
def test_an_unknown_command_is_shown(command: bytes) -> None:
    with pytest.raises(ProtocolError, match=f"unknown command {command.hex() or 'empty'}"):
        wire.decode_from_worker([command, b"\x90"])


def test_a_hello_of_a_later_version_may_say_more() -> None:
    fields = {
        "version": 9,
        "label": "w",
        "instance": "12345678",
        "session": 1,
        "pid": 1,
        "slots": 1,
        "ahead": 0,
        "offers": [],
        "mood": "good",
    }
    message = wire.decode_from_worker([b"\x01", msgpack.packb(fields)])
    assert isinstance(message, wire.Hello)
    assert (message.version, message.held) == (9, [])
