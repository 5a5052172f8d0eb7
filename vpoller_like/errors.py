"""The one tree of errors.

Every error that a caller can meet has a ``code`` (the word on the wire) and says
whether sending the same request again can help (``retryable``)::

    VPollerError
     +-- ConfigError          a setting is wrong or missing
     +-- AgentError           an agent cannot be loaded or is declared wrongly
     +-- ProtocolError        bytes that are no message; never crosses the edge
     +-- RequestError         an answer: what a reply with ``success: 1`` carries
     |    +-- BadRequest      +-- TooLarge       +-- UnknownMethod  +-- UnknownHost
     |    +-- InvalidParams   +-- TaskFailed     +-- WorkerLost     +-- DeadlineExceeded
     |    +-- Busy            +-- IdReused       +-- Unauthorized   +-- ShuttingDown
     |    +-- StorageFailed
     +-- NoAnswer             no answer came
          +-- Unreachable     no broker could be connected
          +-- Refused         a broker is there, and does not let this client in
          +-- ReplyTimeout    sent, but nothing came back in time
"""

from __future__ import annotations

from typing import Any, ClassVar


class VPollerError(Exception):
    """Base of every error that this package raises on purpose.

    ``message`` is one sentence: what happened, why, and what to do next.
    ``details`` are JSON-able facts beside it, such as ``retry_after_ms``.
    """

    code: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(self, message: str = "", **details: Any) -> None:
        self.message = message or (self.__doc__ or self.code).strip().splitlines()[0]
        self.details = details
        super().__init__(self.message)


class ConfigError(VPollerError):
    """The configuration is wrong."""

    code = "config"


class AgentError(VPollerError):
    """An agent cannot be loaded or is declared wrongly."""

    code = "agent"


class ProtocolError(VPollerError):
    """These bytes are not a message of the protocol.

    ``data`` holds the start of the offending bytes, for a log line.
    """

    code = "bad_request"

    def __init__(self, message: str = "", data: bytes = b"", **details: Any) -> None:
        super().__init__(message, **details)
        self.data = data[:64]


class RequestError(VPollerError):
    """The request was answered with an error."""


class BadRequest(RequestError):
    """The request is not a well-formed task request."""

    code = "bad_request"


class TooLarge(RequestError):
    """The request or its result is larger than allowed."""

    code = "too_large"


class UnknownMethod(RequestError):
    """No worker serves this method."""

    code = "unknown_method"


class UnknownHost(RequestError):
    """The method is served, but not for this hostname."""

    code = "unknown_host"


class InvalidParams(RequestError):
    """A parameter of the method is missing or wrong."""

    code = "invalid_params"


class TaskFailed(RequestError):
    """The method ran and failed."""

    code = "task_failed"


class WorkerLost(RequestError):
    """The worker died while it held the task, which may have run."""

    code = "worker_lost"


class DeadlineExceeded(RequestError):
    """The request's deadline passed before a worker was free; it has not run."""

    code = "deadline"
    retryable = True


class Busy(RequestError):
    """The queue is full; ``details["retry_after_ms"]`` says when to try again."""

    code = "busy"
    retryable = True


class IdReused(RequestError):
    """This ``meta.id`` was already used for a request with another body."""

    code = "id_reused"


class Unauthorized(RequestError):
    """The caller may not use this method."""

    code = "unauthorized"


class ShuttingDown(RequestError):
    """The broker is shutting down; ask again, or ask another one."""

    code = "shutting_down"
    retryable = True


class StorageFailed(RequestError):
    """The task could not be stored."""

    code = "storage"
    retryable = True


class NoAnswer(VPollerError):
    """No answer came."""

    retryable = True


class Unreachable(NoAnswer):
    """No broker could be connected."""

    code = "unreachable"


class Refused(NoAnswer):
    """The broker does not let this client in; its key is not authorised there."""

    code = "refused"
    retryable = False


class ReplyTimeout(NoAnswer):
    """The request was sent, but no reply came in time."""

    code = "timeout"


def _leaves(base: type[VPollerError]) -> dict[str, type[VPollerError]]:
    return {cls.code: cls for cls in base.__subclasses__()}


#: The answer's error class by its code on the wire.
BY_CODE: dict[str, type[VPollerError]] = {**_leaves(RequestError), **_leaves(NoAnswer)}


def error_from_code(code: str, message: str, **details: Any) -> VPollerError:
    """Return the error that a reply with this ``code`` stands for.

    A code of a later version of the protocol becomes a plain :class:`RequestError`.
    """
    return BY_CODE.get(code, RequestError)(message, **details)
