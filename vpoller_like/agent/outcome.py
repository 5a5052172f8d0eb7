"""What came of one task: a reply, ready for the wire."""

from __future__ import annotations

from typing import Any

import msgspec

from vpoller_like.errors import RequestError, TaskFailed, TooLarge, VPollerError
from vpoller_like.protocol.encoding import Encoding
from vpoller_like.protocol.reply import failure


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """A reply: ``code`` is empty for a success; ``body`` is the whole envelope, or a text."""

    code: str
    body: bytes


def refused(error: VPollerError, encoding: Encoding) -> Outcome:
    """Return the outcome that tells of ``error``; never raises.

    Details that cannot be written (a string that is no UTF-8, a huge integer) are left
    out rather than hiding the error itself.
    """
    error = _with_code(error)
    try:
        return Outcome(error.code, failure(error, encoding))
    except Exception:
        # Not by calling the class: a subclass may take arguments of its own.
        error.message, error.details = _writable(error.message), {}
        return Outcome(error.code, failure(error, encoding))


def too_large(size: int, method: str, encoding: Encoding, limit: int) -> Outcome:
    """Return the answer in place of a reply of ``size`` bytes, where ``limit`` are allowed."""
    message = (
        f"the reply to {method} has {size} bytes, and {limit} are allowed; "
        "ask for less at once, or raise worker.max_reply"
    )
    return refused(TooLarge(message, size=size, limit=limit), encoding)


def _with_code(error: VPollerError) -> VPollerError:
    # A RequestError without a word of its own says that the task failed.
    if error.code == RequestError.code:
        return TaskFailed(error.message, **error.details)
    return error


def _writable(text: Any) -> str:
    return str(text).encode("utf-8", "backslashreplace").decode()
