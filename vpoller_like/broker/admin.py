"""The admin endpoint's verbs: ``status``, ``workers``, ``methods``, ``shutdown``.

They are asked as methods are: one JSON object, ``{"method": "status"}``, from any REQ
socket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vpoller_like.broker import reports
from vpoller_like.broker.core import BrokerCore
from vpoller_like.broker.events import Reply, Request
from vpoller_like.errors import (
    BadRequest,
    InvalidParams,
    ProtocolError,
    RequestError,
    TaskFailed,
    UnknownMethod,
)
from vpoller_like.protocol.encoding import DECODE_FAULTS, Encoding, decode_object, encoding_of
from vpoller_like.protocol.reply import ReplyMeta, failure, success, with_meta


class Admin:
    """Answers admin requests. ``shutdown`` is called to begin a drain."""

    def __init__(
        self, core: BrokerCore, endpoints: dict[str, str], shutdown: Callable[[], None]
    ) -> None:
        self._core = core
        self._endpoints = endpoints
        self._shutdown = shutdown
        self._verbs: dict[str, Callable[[dict[str, Any], float], Any]] = {
            "status": lambda _, now: reports.status(core, endpoints, now),
            "workers": lambda _, now: reports.workers(core, now),
            "methods": lambda fields, _: reports.methods(core, _name(fields)),
            "shutdown": self._begin_drain,
        }

    def answer(self, request: Request, now: float) -> Reply:
        """Return the reply to one request."""
        encoding = encoding_of(request.body)
        try:
            body = self._success(request, encoding, now)
        except RequestError as error:
            body = failure(error, encoding)
        except ProtocolError as error:
            body = failure(BadRequest(error.message), encoding)
        if request.head.meta is not None:
            body = with_meta(body, ReplyMeta(id=request.head.meta.id), encoding)
        return Reply(request.envelope, body)

    def _success(self, request: Request, encoding: Encoding, now: float) -> bytes:
        result = self._call(request, now)
        try:
            return success(result, f"{request.head.method} of the broker", encoding)
        except DECODE_FAULTS as error:
            # What workers say of their methods is theirs: nested too deeply, for one.
            raise TaskFailed(f"the answer cannot be written: {error}") from error

    def _call(self, request: Request, now: float) -> Any:
        verb = self._verbs.get(request.head.method)
        if verb is None:
            raise UnknownMethod(
                f"the admin endpoint has no method {request.head.method}; it has "
                f"{', '.join(self._verbs)}"
            )
        return verb(decode_object(request.body), now)

    def _begin_drain(self, _: dict[str, Any], now: float) -> dict[str, Any]:
        self._shutdown()
        return {"draining": True, "running": reports.status(self._core, {}, now)["running"]}


def _name(fields: dict[str, Any]) -> str | None:
    name = fields.get("name")
    if name is not None and not isinstance(name, str):
        raise InvalidParams("name: expected a string, the method to describe")
    return name
