"""The worker protocol: what is written is read back, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import strategies as some
from vpoller_like.errors import ProtocolError
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import pack

commands = st.sampled_from([bytes([command]) for command in wire.Command]) | st.binary(max_size=3)
frames = st.lists(st.binary(max_size=80), max_size=5)


def message_or_protocol_error(decode: Callable[[list[bytes]], Any], data: list[bytes]) -> None:
    try:
        message = decode(data)
    except ProtocolError:
        return
    assert decode(list(wire.encode(message))) == message


@given(some.from_workers)
def test_what_a_worker_says_is_read_back_as_it_was(message: wire.FromWorker) -> None:
    assert wire.decode_from_worker(list(wire.encode(message))) == message


@given(some.from_brokers)
def test_what_a_broker_says_is_read_back_as_it_was(message: wire.FromBroker) -> None:
    assert wire.decode_from_broker(list(wire.encode(message))) == message


@given(some.from_workers, some.from_brokers)
def test_neither_side_takes_the_other_sides_messages(
    worker: wire.FromWorker, broker: wire.FromBroker
) -> None:
    for decode, message in (
        (wire.decode_from_broker, worker),
        (wire.decode_from_worker, broker),
    ):
        with pytest.raises(ProtocolError, match="unknown command"):
            decode(list(wire.encode(message)))


@settings(max_examples=300)
@given(frames)
def test_any_frames_from_a_worker_are_a_message_or_one_error(data: list[bytes]) -> None:
    message_or_protocol_error(wire.decode_from_worker, data)


@settings(max_examples=300)
@given(frames)
def test_any_frames_from_a_broker_are_a_message_or_one_error(data: list[bytes]) -> None:
    message_or_protocol_error(wire.decode_from_broker, data)


@settings(max_examples=300)
@given(commands, some.odd_messagepack)
def test_a_known_command_with_an_odd_frame_is_a_message_or_one_error(
    command: bytes, payload: bytes
) -> None:
    message_or_protocol_error(wire.decode_from_worker, [command, payload])
    message_or_protocol_error(wire.decode_from_broker, [command, payload])


@settings(max_examples=300)
@given(st.data())
def test_a_message_with_changed_bytes_is_a_message_or_one_error(data: st.DataObject) -> None:
    command, payload = wire.encode(data.draw(some.from_workers | some.from_brokers))
    changed = data.draw(some.mutated(st.just(payload)))
    message_or_protocol_error(wire.decode_from_worker, [command, changed])
    message_or_protocol_error(wire.decode_from_broker, [command, changed])


@given(st.sampled_from([wire.Drain, wire.Bye, wire.Heartbeat]), some.values)
def test_a_frame_of_any_value_is_a_message_or_one_error(
    kind: type[wire.Drain], value: object
) -> None:
    message_or_protocol_error(wire.decode_from_worker, [bytes([kind.COMMAND]), pack(value)])
