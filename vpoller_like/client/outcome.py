"""The envelopes that a client makes itself, and what it reads in a broker's."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from vpoller_like.errors import (
    NoAnswer,
    ProtocolError,
    Refused,
    ReplyTimeout,
    TaskFailed,
    Unreachable,
    VPollerError,
    error_from_code,
)
from vpoller_like.protocol.encoding import decode_object
from vpoller_like.protocol.reply import FAILURE, SUCCESS, failure_fields, parse_reply

#: A request's or reply's fields.
Envelope = dict[str, Any]

#: What vPoller says when it has given up; programs compare it.
NO_RESPONSE = "Did not receive response, aborting..."
#: Milliseconds: a day, and longer than anybody waits.
MAX_RETRY_AFTER = 86_400_000


class Refusal(NamedTuple):
    """Why a broker refused a batch, and how much of what it takes, as far as it says so."""

    code: str
    limit: Any


class Counts(msgspec.Struct):
    """What became of a request's tries so far."""

    tries: int = 0
    #: Tries that found no broker.
    unconnected: int = 0
    sends: int = 0
    #: Sends without an answer, for whatever reason.
    unanswered: int = 0
    #: Sends whose connection broke before the answer.
    lost: int = 0
    #: Sends answered ``busy`` or ``shutting_down``.
    refused: int = 0
    #: Why the last try found no broker, where that is known.
    reason: str = ""
    #: What handshakes that failed looked like; and why a broker did not let us in: sentences.
    hint: str = ""
    refusal: str = ""


def no_answer(
    endpoints: tuple[str, ...], counts: Counts, waited: float, request_id: Any
) -> Envelope:
    """Return the envelope for a request that was given up after ``waited`` seconds."""
    error = _no_answer_error(endpoints, counts, waited)
    fields = failure_fields(error)
    if not isinstance(error, Refused):
        fields["msg"] = NO_RESPONSE
    fields["error"] |= {
        "id": request_id,
        "endpoints": list(endpoints),
        "tries": counts.tries,
        "waited_ms": round(waited * 1000),
        "detail": error.message,
    }
    return fields


def _no_answer_error(endpoints: tuple[str, ...], counts: Counts, waited: float) -> NoAnswer:
    where = " or ".join(endpoints)
    if not counts.sends and counts.refusal:
        return Refused(counts.refusal)
    if not counts.sends and counts.hint:
        return Unreachable(f"{counts.hint} (tried for {waited:.1f} s)")
    if not counts.sends:
        tries = _count(counts.tries, "try", "tries")
        reason = f" ({counts.reason})" if counts.reason else ""
        return Unreachable(
            f"no broker could be reached at {where} in {waited:.1f} s and {tries}{reason}; "
            "start one with 'vpoller broker run', or name the endpoint of one that runs"
        )
    sends = _count(counts.sends, "time", "times")
    broke = f" (connections broken: {counts.lost})" if counts.lost else ""
    return ReplyTimeout(
        f"sent {sends} to {where}, but no reply came in {waited:.1f} s{broke}; "
        "the task may have run: allow more time with timeout or retries, or ask again with the "
        "same meta.id"
    )


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def malformed(error: ProtocolError, endpoint: str, body: bytes) -> Envelope:
    """Return the envelope for a reply that is not one; ``error.reply`` is all of its ``body``.

    It may be what a worker in another language answers, such as the text of vPoller's helpers.
    """
    return failure_fields(
        TaskFailed(
            f"the reply from {endpoint} is not an envelope: {error.message}; see which worker "
            "serves this method",
            reason="malformed_reply",
            endpoint=endpoint,
            reply=body.decode("utf-8", "replace"),
        )
    )


def is_success(value: Any, request_id: str) -> bool:
    """Say whether ``value`` is a success that names the request of this id, or none.

    Nothing else is to be known of such a reply.
    """
    if type(value) is not dict or value.get("success") != SUCCESS:
        return False
    meta = value.get("meta")
    return meta is None or (type(meta) is dict and meta.get("id") == request_id)


def success_in(body: bytes, request_id: str) -> Envelope | None:
    """Return the reply in ``body`` if that is such a success."""
    try:
        envelope = decode_object(body)
    except ProtocolError:
        return None
    return envelope if is_success(envelope, request_id) else None


def code_of(envelope: Envelope) -> str:
    """Return an error's code, and ``""`` for a success.

    A failure without one, such as vPoller's own, is a ``task_failed``.
    """
    if envelope.get("success") == SUCCESS:
        return ""
    code = _error_of(envelope).get("code")
    return code if isinstance(code, str) else TaskFailed.code


def refusal_of(body: bytes) -> Refusal | None:
    """Return why a whole batch was refused; ``None`` where it is not the batch that is wrong."""
    try:
        envelope = parse_reply(body)
    except ProtocolError:
        return None
    code = code_of(envelope)
    if code not in ("bad_request", "too_large"):
        return None
    return Refusal(code, _error_of(envelope).get("limit"))


def retry_after(envelope: Envelope) -> float:
    """Return the seconds that a refusal asks to wait; 0 where it does not."""
    milliseconds = _error_of(envelope).get("retry_after_ms")
    if not isinstance(milliseconds, int | float) or not milliseconds > 0:
        return 0.0
    # JSON has integers that are beyond every float.
    return min(milliseconds, MAX_RETRY_AFTER) / 1000


def result_of(envelope: Envelope) -> Any:
    """Return the result in ``envelope``, or raise the error that it tells of."""
    if envelope.get("success") == SUCCESS:
        return envelope.get("result")
    raise error_of(envelope)


def error_of(envelope: Envelope) -> VPollerError:
    """Return the error that a failure's ``envelope`` tells of, with its details."""
    told = _error_of(envelope)
    message = told.get("detail") or envelope.get("msg") or ""
    error = error_from_code(code_of(envelope), str(message))
    error.details.update(
        {key: value for key, value in told.items() if key not in ("code", "retryable")}
    )
    return error


def _error_of(envelope: Envelope) -> dict[str, Any]:
    error = envelope.get("error")
    return error if isinstance(error, dict) and envelope.get("success") == FAILURE else {}
