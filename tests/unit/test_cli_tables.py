"""Data as tables."""

from __future__ import annotations

import sys
from typing import Any

import pytest

from vpoller_like.cli.tables import cell, draw, render, rows


class Terminal:
    """Takes what is said of stdout: it is one."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ("hello", "hello\n"),
        (3, "3\n"),
        (None, "-\n"),
        (True, "yes\n"),
        ([], ""),
        ({}, ""),
        ([1, "b"], "1\nb\n"),
        ({"a": 1, "bb": "x"}, "a   1\nbb  x\n"),
        ({"a": {"b": {"c": 1}}}, "a.b.c  1\n"),
        ({"a": [1, 2]}, "a  1, 2\n"),
        ([{"a": 1}, {"b": "x"}], "a  b\n1  -\n-  x\n"),
        ({"n": 1, "disks": [{"d": "/"}]}, "n  1\n\ndisks\nd\n/\n"),
        ([{"a": {"b": 1}}], 'a\n{"b":1}\n'),
        ([[1, {"a": 2}]], '[1,{"a":2}]\n'),
    ],
)
def test_each_kind_of_data_has_its_table(data: Any, text: str) -> None:
    assert render(data) == text


def test_columns_follow_the_order_asked_for_and_leave_out_what_is_nowhere() -> None:
    assert draw(rows([{"a": "1", "b": "2"}], ["b", "c", "a"])) == "b  a\n2  1\n"


def test_markup_in_data_is_only_text() -> None:
    assert render({"[red]a": "[bold]b[/bold]"}) == "[red]a  [bold]b[/bold]\n"


def test_a_result_cannot_drive_the_terminal() -> None:
    assert cell("\x1b[31mred\x07\r") == r"\x1b[31mred\x07\r"
    assert "\x1b" not in render([{"\x1b]0;title": "\x9b1m"}])


def test_long_lines_are_not_folded_off_a_terminal() -> None:
    assert render({"a": "x" * 1000}) == f"a  {'x' * 1000}\n"


def test_colour_only_on_a_terminal_and_never_with_no_color(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert "\x1b[" not in render([{"a": 1}])
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert "\x1b[1m" in render([{"a": 1}])
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in render([{"a": 1}])
