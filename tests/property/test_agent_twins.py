"""The compiled side of agents gives the same replies as the one in Python, byte for byte."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.agent_twins import BOTH, replies
from vpoller_like.agent import compiled

pytestmark = pytest.mark.skipif(compiled.TWINS.kind != "c", reason="the compiled one is not there")

seeds = st.integers(0, 1 << 32)


def test_these_are_two() -> None:
    for part, name in (
        ("reading", "Reader"),
        ("writing", "Writer"),
        ("calling", "Calling"),
        ("desk", "Desk"),
    ):
        ours, theirs = (getattr(getattr(side, part), name) for side in BOTH)
        assert ours is not theirs
        assert ours.__module__.endswith("_hot")
        assert not theirs.__module__.endswith("_hot")


@settings(max_examples=1000)
@given(seeds)
def test_the_same_comes_of_any_request(seed: int) -> None:
    ours, theirs = (replies(side, seed) for side in BOTH)
    assert ours == theirs


# A comparison that cannot fail shows nothing: each of these must be found.

PLAIN = BOTH[1]


def keeps_nulls(self: Any, given: dict[str, Any]) -> Any:
    return given if self._struct is None else msgspec.convert(given, self._struct)


def asks_for_any_host(self: Any, fields: dict[str, Any]) -> Any:
    fields.pop("hostname", None)
    return take_head(self, fields)


def passes_what_is_too_large(self: Any, *arguments: Any) -> Any:
    return run(self, *arguments[:2], 1 << 30, *arguments[3:])


def tells_of_nothing_else(self: Any, result: Any, _msg: str, encoding: Any) -> Any:
    return write(self, result, "done", encoding)


def is_indiscreet(self: Any, *arguments: Any) -> Any:
    return failed(self, *arguments[:4], [])


take_head, run = PLAIN.desk.Desk._take_head, PLAIN.calling.Calling.run
write, failed = PLAIN.writing.Writer.write, PLAIN.bound.BoundTask._failed


@pytest.mark.parametrize(
    ("place", "name", "fault"),
    [
        (PLAIN.reading.Reader, "read", keeps_nulls),
        (PLAIN.desk.Desk, "_take_head", asks_for_any_host),
        (PLAIN.calling.Calling, "run", passes_what_is_too_large),
        (PLAIN.writing.Writer, "write", tells_of_nothing_else),
        (PLAIN.bound.BoundTask, "_failed", is_indiscreet),
    ],
)
def test_a_fault_would_be_found(
    place: Any, name: str, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(place, name, fault)
    assert any(replies(BOTH[0], seed) != replies(PLAIN, seed) for seed in range(1000))
