"""What a check has found."""

from __future__ import annotations

from typing import Literal

import msgspec

Level = Literal["ok", "warning", "problem"]


class Finding(msgspec.Struct, frozen=True):
    """One line of the report. ``advice`` says what to do, unless all is well."""

    area: str
    level: Level
    text: str
    advice: str = ""


def count(number: int, noun: str) -> str:
    """Write a number with its noun, which takes an s."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


class Reporter:
    """Makes the findings of one ``area``."""

    def __init__(self, area: str) -> None:
        self._area = area

    def ok(self, text: str) -> Finding:
        """All is well."""
        return Finding(self._area, "ok", text)

    def warning(self, text: str, advice: str) -> Finding:
        """It works, and should be seen to."""
        return Finding(self._area, "warning", text, advice)

    def problem(self, text: str, advice: str = "") -> Finding:
        """Something does not work. ``text`` may give the advice itself."""
        return Finding(self._area, "problem", text, advice)
