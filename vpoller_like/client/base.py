"""What the synchronous and the asynchronous client have in common."""

from __future__ import annotations

import os
import weakref
from collections.abc import Sequence

from vpoller_like.client.flight import Flight
from vpoller_like.client.policy import policy
from vpoller_like.keys import KeyDirectory
from vpoller_like.protocol.limits import MAX_REQUEST
from vpoller_like.transport.curve import credentials
from vpoller_like.transport.requester import Requester, require_endpoint


class NetworkClient:
    """Settings, and the connections of this process.

    The arguments are told of where they are given: at :class:`~.sync.VPollerClient` and
    :class:`~.aio.AsyncVPollerClient`.
    """

    def __init__(
        self,
        endpoint: str | Sequence[str] = "tcp://127.0.0.1:10123",
        timeout: float = 3000,
        retries: int = 3,
        *,
        max_request: int = MAX_REQUEST,
        key: str | os.PathLike[str] = "",
        server_key: str | os.PathLike[str] = "",
        keys: str | os.PathLike[str] = "",
    ) -> None:
        self._policy = policy(endpoint, timeout, retries, max_request)
        for each in self._policy.endpoints:
            require_endpoint(each)
        self._credentials = credentials(KeyDirectory(keys), os.fspath(key), os.fspath(server_key))
        # By process: a fork's child must not touch its parent's sockets, nor drop them.
        self._requesters: dict[int, Requester] = {}
        self._finalizer = weakref.finalize(self, _close_own, self._requesters)

    def _flight(self) -> Flight:
        """Return a flight over this process's connections."""
        return Flight(self._own(), self._policy)

    def _own(self) -> Requester:
        requester = self._requesters.get(os.getpid())
        if requester is None or requester.is_closed:
            requester = self._made()
        return requester

    def _made(self) -> Requester:
        self._require_open()
        # Atomic, so that of two threads that come here at once both get the same one.
        fresh = Requester(self._policy.endpoints, self._credentials)
        requester = self._requesters.setdefault(os.getpid(), fresh)
        try:
            self._require_open()
        except RuntimeError:
            # Closed meanwhile, by a thread that may not have seen it.
            requester.close()
            raise
        return requester

    def _require_open(self) -> None:
        if not self._finalizer.alive:
            raise RuntimeError("the client is closed; make a new one")

    def _close(self) -> None:
        self._finalizer()


def _close_own(requesters: dict[int, Requester]) -> None:
    requester = requesters.get(os.getpid())
    if requester is not None:
        requester.close()
