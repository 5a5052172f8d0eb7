"""The admin endpoint's verbs: ``status``, ``workers``, ``methods``, ``drain``, ``worker.drain``.

They are asked as methods are: one JSON object, ``{"method": "status"}``, from any REQ
socket.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from vpoller_like.broker import reports
from vpoller_like.broker.core import BrokerCore
from vpoller_like.broker.events import Event, Reply, Request, WorkersToLeave
from vpoller_like.broker.named import lanes_of, name_of, process_of
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
    """Answers admin requests.

    ``shutdown`` is called to begin a drain; ``feed`` gives the core an event, and does what
    comes of it; ``usage`` returns how much of the limits outside the core is used;
    ``security`` what the doors ask of those who connect.
    """

    def __init__(
        self,
        core: BrokerCore,
        endpoints: dict[str, str],
        shutdown: Callable[[], None],
        feed: Callable[[Event], None],
        usage: Callable[[], dict[str, Any]] = dict,
        security: Callable[[], dict[str, Any]] = dict,
    ) -> None:
        self._core = core
        self._endpoints = endpoints
        self._shutdown = shutdown
        self._feed = feed
        self._verbs: dict[str, Callable[[dict[str, Any], float], Any]] = {
            "status": lambda _, now: reports.status(core, endpoints, now, usage()) | security(),
            "workers": lambda _, now: reports.workers(core, now),
            "methods": lambda fields, _: reports.methods(core, _method(fields)),
            "shutdown": self._begin_drain,
            "drain": self._begin_drain,
            "worker.drain": self._drain_worker,
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

    def _begin_drain(self, _: dict[str, Any], __: float) -> dict[str, Any]:
        """Begin the end; ``running`` are all tasks that are not answered yet, wherever."""
        self._shutdown()
        return {"draining": True, "running": len(self._core.dispatcher.live)}

    def _drain_worker(self, fields: dict[str, Any], _: float) -> dict[str, Any]:
        """Tell all processes of one worker to finish what they hold, and to end."""
        asked = _name(fields, "the worker to drain")
        if asked is None:
            raise InvalidParams("name: missing; say which worker is to drain")
        lanes = lanes_of(self._core.roster.workers.values(), asked)
        self._feed(WorkersToLeave([worker.instance for worker in lanes]))
        return {
            "name": name_of(lanes[0].label),
            "processes": sorted({process_of(worker.label) for worker in lanes}),
            "held": sum(len(worker.tasks) for worker in lanes),
        }


def _method(fields: dict[str, Any]) -> str | None:
    return _name(fields, "the method to describe")


def _name(fields: dict[str, Any], meaning: str) -> str | None:
    name = fields.get("name")
    if name is not None and not isinstance(name, str):
        raise InvalidParams(f"name: expected a string, {meaning}")
    return name
