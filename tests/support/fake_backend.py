"""A broker's backend, played by a test: it says what the test says, and hears everything."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any, TypeVar

import zmq

from vpoller_like.protocol import worker as wire

M = TypeVar("M", bound=wire.FromWorker)

#: Seconds that a test waits for what should come much sooner.
PATIENCE = 20.0


class Unheard(AssertionError):
    """What was waited for was not said in time."""


class FakeBackend:
    """Welcomes every worker, and acknowledges all results, unless told otherwise.

    ``heard`` holds all that workers said and no ``expect`` has taken, with the routing id
    of who said it.
    """

    def __init__(self, endpoint: str = "tcp://127.0.0.1:*", epoch: str = "first") -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.router_mandatory = True
        self._socket.bind(endpoint)
        self.endpoint = self._socket.get_string(zmq.LAST_ENDPOINT)
        self.epoch = epoch
        self.welcomes = True
        self.acknowledges = True
        self.heartbeat_ms = 100
        self.liveness_ms = 5000
        self.heard: list[tuple[bytes, wire.FromWorker]] = []
        self.sessions: dict[bytes, int] = {}
        self._numbers = itertools.count(1)

    def expect(self, kind: type[M], timeout: float = PATIENCE) -> M:
        """Return the next message of this ``kind`` from any worker; raise ``Unheard``."""
        return self.expect_from(kind, timeout)[1]

    def expect_from(self, kind: type[M], timeout: float = PATIENCE) -> tuple[bytes, M]:
        """Like :meth:`expect`; return who said it, too."""
        deadline = time.monotonic() + timeout
        while True:
            for index, (peer, message) in enumerate(self.heard):
                if isinstance(message, kind):
                    del self.heard[index]
                    return peer, message
            left = deadline - time.monotonic()
            if left <= 0:
                said = [type(message).__name__ for _, message in self.heard]
                raise Unheard(f"no {kind.__name__} within {timeout:g} s; heard {said}")
            self.listen(left)

    def results(self, count: int, timeout: float = PATIENCE) -> list[wire.Result]:
        """Return the next ``count`` results, of one RESULTS or of many."""
        found: list[wire.Result] = []
        while len(found) < count:
            found.extend(self.expect(wire.Results, timeout).items)
        return found

    def listen(self, timeout: float) -> None:
        """Hear what comes within ``timeout`` seconds, the first time that something does."""
        if not self._socket.poll(round(timeout * 1000)):
            return
        while self._socket.poll(0):
            peer, *frames = self._socket.recv_multipart()
            message = wire.decode_from_worker(frames)
            self.heard.append((peer, message))
            self._react(peer, message)

    def _react(self, peer: bytes, message: wire.FromWorker) -> None:
        if isinstance(message, wire.Hello):
            self.sessions[peer] = message.session
            if self.welcomes:
                self.welcome(peer)
        elif isinstance(message, wire.Results) and self.acknowledges:
            self.say(peer, wire.Ack(message.seq))

    def welcome(self, peer: bytes) -> None:
        """Say WELCOME."""
        welcome = wire.Welcome(
            version=wire.VERSION,
            epoch=self.epoch,
            heartbeat_ms=self.heartbeat_ms,
            liveness_ms=self.liveness_ms,
        )
        self.say(peer, welcome)

    def say(self, peer: bytes, message: wire.FromBroker) -> None:
        """Send one message to the worker at ``peer``."""
        self._socket.send_multipart([peer, *wire.encode(message)])

    def give(self, peer: bytes, *items: wire.Assignment) -> None:
        """Send TASKS, in the worker's latest session."""
        self.say(peer, wire.Tasks(self.sessions[peer], list(items)))

    def task(
        self,
        method: str,
        request_id: str | None = None,
        number: int | None = None,
        attempt: int = 1,
        **params: Any,
    ) -> wire.Assignment:
        """Return a task with the next number, or the one given."""
        return wire.Assignment(
            task=next(self._numbers) if number is None else number,
            attempt=attempt,
            method=method,
            hostname=None,
            principal="",
            id=request_id,
            fingerprint=None if request_id is None else b"print",
            body=json.dumps({"method": method, **params}).encode(),
        )

    def close(self) -> None:
        """Close the socket; workers notice."""
        self._socket.close(0)
        self._context.term()

    def __enter__(self) -> FakeBackend:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
