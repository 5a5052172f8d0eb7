"""Text from the system, which need not be UTF-8."""

from __future__ import annotations


def clean(text: str) -> str:
    """Return ``text`` with each byte that is no UTF-8 as U+FFFD.

    File names and command lines are bytes to the kernel; Python hides those that do not
    decode in lone surrogates, which no JSON may contain.
    """
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
