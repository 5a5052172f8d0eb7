"""The connections to the brokers: kept, and made anew where a broker did not let us in."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from vpoller_like.config import Settings
from vpoller_like.keys import KeyDirectory
from vpoller_like.transport.curve import Credentials, credentials
from vpoller_like.transport.handshake import Handshakes
from vpoller_like.transport.port import Port
from vpoller_like.transport.sockets import Context, worker_link

log = logging.getLogger("vpoller.worker")

#: Seconds between two looks at what keeps connections from being made.
LOOK = 1.0


def worker_credentials(settings: Settings) -> Credentials | None:
    """Return what a worker shows its brokers; raise ``ConfigError`` where a key is wrong."""
    worker = settings.worker
    keys = KeyDirectory(settings.security.keys)
    return credentials(keys, worker.key, worker.server_key, "worker.")


class Links:
    """One port for each of ``endpoints``, in their order.

    ``told`` is what was logged of each last: links that share it say it once.
    """

    def __init__(
        self,
        context: Context,
        endpoints: Sequence[str],
        credentials: Credentials | None,
        told: dict[str, str] | None = None,
    ) -> None:
        self._endpoints = list(endpoints)
        self._credentials = credentials
        self._context = context
        opened = [self._open(endpoint) for endpoint in endpoints]
        #: The present ones; a replaced one is closed, and no more to be used.
        self.ports = [port for port, _ in opened]
        self._handshakes = [handshakes for _, handshakes in opened]
        self._told = {} if told is None else told
        self._next_look = 0.0

    def _open(self, endpoint: str) -> tuple[Port, Handshakes]:
        return worker_link(self._context, endpoint, self._credentials)

    def welcomed(self, index: int) -> None:
        """The broker has let us in: should it not do so again, that is news."""
        self._told[self._endpoints[index]] = ""
        self._handshakes[index].forget()

    def refused(self, index: int, reason: str) -> None:
        """The broker has let us in and does not take us: log why, unless it was said."""
        endpoint = self._endpoints[index]
        if self._told.get(endpoint) != reason:
            self._told[endpoint] = reason
            log.error("broker %s: does not take this worker: %s; trying again", endpoint, reason)

    def look(self, now: float) -> bool:
        """Log why a broker does not let us in; return whether ports were replaced.

        libzmq never asks again after some failures, a refusal by the broker's list of keys
        among them; who is authorised by and by shall get in, so the connection is made anew.
        """
        if now < self._next_look:
            return False
        self._next_look = now + LOOK
        replaced = [self._look(index) for index in range(len(self.ports))]
        return any(replaced)

    def _look(self, index: int) -> bool:
        handshakes, endpoint = self._handshakes[index], self._endpoints[index]
        handshakes.read()
        told = self._told.get(endpoint, "")
        # A hint is less than what was told before.
        why = handshakes.refusal or told or handshakes.hint
        if why and why != told:
            self._told[endpoint] = why
            log.error("%s; trying again", why)
        if not handshakes.is_over:
            return False
        handshakes.close()
        self.ports[index].close()
        self.ports[index], self._handshakes[index] = self._open(endpoint)
        return True

    def close(self, linger_ms: int) -> None:
        """Close everything; what is left to send may take so long to leave, in background."""
        for handshakes in self._handshakes:
            handshakes.close()
        for port in self.ports:
            port.close(linger_ms)
