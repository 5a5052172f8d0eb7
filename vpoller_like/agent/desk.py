"""Taking a request in, and finding the task that it is for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vpoller_like.agent.compiled import compiled
from vpoller_like.agent.helpers import PARAMETER
from vpoller_like.agent.outcome import Outcome, refused
from vpoller_like.errors import VPollerError
from vpoller_like.protocol.encoding import decode_object, encoding_of
from vpoller_like.protocol.limits import MAX_REPLY

if TYPE_CHECKING:
    from vpoller_like.agent.routes import AnyTask, Route


@compiled
class Desk:
    """Runs requests on what ``_routes`` has; any number of threads may call at once.

    Who derives from it fills those, anew rather than in place, and knows what to do with a
    request whose head is not the usual one (``_take_any_head``).
    """

    def __init__(self) -> None:
        self._routes: dict[str, Route] = {}

    def execute(self, body: bytes, max_reply: int = MAX_REPLY) -> Outcome:
        """Run the request ``body``; the reply is in the request's encoding.

        Without ``meta``, what a helper makes of it is the whole reply. Never raises, but for
        ``KeyboardInterrupt`` and ``SystemExit``. A reply beyond ``max_reply`` bytes becomes
        ``too_large``.
        """
        encoding = encoding_of(body)
        try:
            fields = decode_object(body)
            bare = PARAMETER in fields and fields.get("meta") is None
            bound = self._take_head(fields)
        except VPollerError as error:
            return refused(error, encoding)
        return bound.run(fields, encoding, max_reply, bare)

    def _take_head(self, fields: dict[str, Any]) -> AnyTask:
        """Return whom the request ``fields`` is for; leave its parameters alone in there."""
        # Validating costs as much as the rest of it, and often there is nothing to validate.
        if "meta" not in fields and "hostname" not in fields:
            method = fields.get("method")
            route = self._routes.get(method) if type(method) is str else None
            if route is not None:
                del fields["method"]
                return route.usual or route.pick(None)
        return self._take_any_head(fields)

    def _take_any_head(self, fields: dict[str, Any]) -> AnyTask:
        raise NotImplementedError
