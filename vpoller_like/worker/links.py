"""The connections to the brokers: kept, and made anew where a broker did not let us in."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from vpoller_like.config import Settings
from vpoller_like.keys import KeyDirectory
from vpoller_like.transport.context import new_context
from vpoller_like.transport.curve import Credentials, credentials
from vpoller_like.transport.handshake import Handshakes
from vpoller_like.transport.port import Port
from vpoller_like.transport.sockets import worker_link

log = logging.getLogger("vpoller.worker")

#: Seconds between two looks at what keeps connections from being made.
LOOK = 1.0


def worker_credentials(settings: Settings) -> Credentials | None:
    """Return what a worker shows its brokers; raise ``ConfigError`` where a key is wrong."""
    worker = settings.worker
    keys = KeyDirectory(settings.security.keys)
    return credentials(keys, worker.key, worker.server_key, "worker.")


class Links:
    """One port for each of ``endpoints``, in their order."""

    def __init__(self, endpoints: Sequence[str], credentials: Credentials | None) -> None:
        self._endpoints = list(endpoints)
        self._credentials = credentials
        self._context = new_context()
        opened = [self._open(endpoint) for endpoint in endpoints]
        #: The present ones; a replaced one is closed, and no more to be used.
        self.ports = [port for port, _ in opened]
        self._handshakes = [handshakes for _, handshakes in opened]
        #: What was logged of each last.
        self._told = [""] * len(opened)
        self._next_look = 0.0

    def _open(self, endpoint: str) -> tuple[Port, Handshakes]:
        return worker_link(self._context, endpoint, self._credentials)

    def welcomed(self, index: int) -> None:
        """The broker has let us in: should it not do so again, that is news."""
        self._told[index] = ""
        self._handshakes[index].forget()

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
        handshakes = self._handshakes[index]
        handshakes.read()
        # A hint is less than what was told before.
        why = handshakes.refusal or self._told[index] or handshakes.hint
        if why and why != self._told[index]:
            self._told[index] = why
            log.error("%s; trying again", why)
        if not handshakes.is_over:
            return False
        handshakes.close()
        self.ports[index].close()
        self.ports[index], self._handshakes[index] = self._open(self._endpoints[index])
        return True

    def close(self, linger_ms: int) -> None:
        """Send what is left to send, for so long at most, and close everything."""
        for handshakes in self._handshakes:
            handshakes.close()
        for port in self.ports:
            port.close(linger_ms)
        self._context.term()
