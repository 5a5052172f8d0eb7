"""What a task raised, as the error that its client sees and the log's traceback."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Collection

from vpoller_like.agent.secrets import hide, hide_in
from vpoller_like.errors import RequestError, TaskFailed

log = logging.getLogger("vpoller.agent")

#: Characters of an exception's text that a client is told.
MAX_TEXT = 4096


def answer_for(error: BaseException, method: str, secrets: Collection[str]) -> RequestError:
    """Return the error to answer with for ``error``, raised by ``method``.

    An answer that the agent raised on purpose is passed on; anything else is
    ``task_failed``, and its traceback is logged. ``secrets`` appear in neither.
    """
    if isinstance(error, RequestError):
        return _without(error, secrets)
    _log(error, method, secrets)
    kind = type(error).__name__
    text = hide(_text(error), secrets)
    message = f"Task {method} failed: {kind}{': ' if text else ''}{text[:MAX_TEXT]}"
    return TaskFailed(message, exception=kind)


def _without(error: RequestError, secrets: Collection[str]) -> RequestError:
    if not secrets:
        return error
    # Not by calling the class: a subclass may take arguments of its own.
    error.message = hide(error.message, secrets)
    error.details = hide_in(error.details, secrets)
    return error


def _log(error: BaseException, method: str, secrets: Collection[str]) -> None:
    trace = hide("".join(traceback.format_exception(error)), secrets).rstrip()
    extra = {"action": "task_failed", "method": method}
    log.error("Task %s failed\n%s", method, trace, extra=extra)


def _text(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return "(its text cannot be shown)"
