"""The exit codes, which scripts rely on."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Any


class Exit(IntEnum):
    """What a ``vpoller`` command's exit code says."""

    OK = 0
    FAILED = 1
    USAGE = 2
    UNREACHABLE = 3
    TIMEOUT = 4
    NOT_FOUND = 5
    DENIED = 6
    INTERRUPTED = 130
    #: What a shell shows for a program whose reader went away (128 + SIGPIPE).
    BROKEN_PIPE = 141


_BY_CODE = {
    "unreachable": Exit.UNREACHABLE,
    "timeout": Exit.TIMEOUT,
    "deadline": Exit.TIMEOUT,
    "unknown_method": Exit.NOT_FOUND,
    "unknown_host": Exit.NOT_FOUND,
    "unauthorized": Exit.DENIED,
    "refused": Exit.DENIED,
}


def exit_for(code: str, details: Mapping[str, Any]) -> Exit:
    """Return the exit code for an error's ``code`` and the ``details`` beside it."""
    if details.get("reason") == "not_found":
        return Exit.NOT_FOUND
    return _BY_CODE.get(code, Exit.FAILED)
