"""Results that a broker does not take as they are."""

from __future__ import annotations

from vpoller_like.errors import TooLarge
from vpoller_like.protocol.encoding import encoding_of
from vpoller_like.protocol.reply import failure
from vpoller_like.protocol.worker import Result


def within(result: Result, limit: int) -> Result:
    """Return ``result``, or, if its body is beyond ``limit`` bytes, the error that says so.

    Sent all the same, the broker would close the connection, and again each time that it is
    sent anew.
    """
    size = len(result.body)
    if size <= limit:
        return result
    error = TooLarge(
        f"the reply has {size} bytes, more than the {limit} that the broker allows; ask for "
        "less, or raise max_reply at the broker",
        size=size,
        limit=limit,
    )
    body = failure(error, encoding_of(result.body))
    return Result(result.task, result.attempt, error.code, result.ran_us, body)
