"""The cursor of a client that follows events."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("pyVmomi")

import msgspec

from vpoller_like.errors import InvalidParams
from workers.vsphere.events.cursor import LATENESS, MOST_KEYS, Cursor, Seen, read_cursor

START = datetime(2026, 11, 22, 3, 4, 5, 600, tzinfo=UTC)


def at(seconds: float, key: int) -> Seen:
    return Seen(START + timedelta(seconds=seconds), key)


def test_a_cursor_comes_back_as_it_went() -> None:
    cursor = Cursor(START, (3, 7, 1_000_000), "VirtualMachine:vm-42", ("VmPoweredOnEvent",))
    assert read_cursor(cursor.text()) == cursor


def test_a_cursor_is_short() -> None:
    keys = tuple(range(9_000_000, 9_000_000 + 3 * MOST_KEYS, 3))
    assert len(Cursor(START, keys).text()) < 1000


@pytest.mark.parametrize("text", ["", "x", "AAAA", "é", "a b", Cursor(START).text()[:-4]])
def test_what_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidParams, match="cursor: this is none that event"):
        read_cursor(text)


@pytest.mark.parametrize(
    "parts",
    [
        ["2026-11-22T03:04:05", [], "", []],
        [START, [], "web01", []],
        [START, [], "SessionManager:SessionManager", []],
        [START, [], "VirtualMachine:vm-42</entity>", []],
        [START, ["x"], "", []],
        [],
        {"start": START},
    ],
)
def test_what_only_looks_like_a_cursor_is_refused(parts: Any) -> None:
    text = base64.urlsafe_b64encode(msgspec.msgpack.encode(parts)).decode().rstrip("=")
    with pytest.raises(InvalidParams, match="cursor: this is none that event"):
        read_cursor(text)


def test_with_nothing_read_a_cursor_stays() -> None:
    cursor = Cursor(START, (1,))
    assert cursor.after([at(0, 1)], []) is cursor


def test_keys_are_kept_for_as_long_as_events_may_be_late() -> None:
    late = LATENESS.total_seconds()
    page = [at(0, 1), at(5, 2), at(late + 1, 3)]
    cursor = Cursor(START).after(page, page)
    assert cursor == Cursor(START + timedelta(seconds=1), (2, 3))


def test_what_was_read_beyond_the_page_is_kept() -> None:
    cursor = Cursor(START, (9,)).after([at(0, 1)], [at(0, 1)])
    assert cursor.keys == (1, 9)


def test_a_cursor_never_goes_back() -> None:
    cursor = Cursor(START).after([at(1, 1)], [at(1, 1)])
    assert cursor.start == START


def test_keys_are_bounded() -> None:
    page = [at(number / 1000, number) for number in range(3 * MOST_KEYS)]
    cursor = Cursor(START).after(page, page)
    assert len(cursor.keys) == MOST_KEYS
    assert cursor.start == page[-MOST_KEYS].time


def test_all_keys_of_the_newest_moment_are_kept() -> None:
    page = [at(0, 0), *(at(1, number) for number in range(1, 2 * MOST_KEYS + 1))]
    cursor = Cursor(START).after(page, page)
    assert cursor == Cursor(START + timedelta(seconds=1), tuple(range(1, 2 * MOST_KEYS + 1)))


def test_keys_of_a_moment_go_together() -> None:
    page = [*(at(0, number) for number in range(2)), *(at(1, n) for n in range(2, MOST_KEYS + 1))]
    cursor = Cursor(START).after(page, page)
    assert cursor.start == START + timedelta(seconds=1)
    assert len(cursor.keys) == MOST_KEYS - 1
