"""Asking more than the workers can do, and what became of each request."""

from __future__ import annotations

import json
import time
from typing import Any, NamedTuple

import zmq

from tests.support.honest import quantile

#: Seconds for the last replies to come.
PATIENCE = 60.0


class Outcome(NamedTuple):
    """What became of all requests of one flood."""

    sent: int
    seconds: float
    #: How long each accepted request took until its reply, in seconds.
    accepted: list[float]
    #: The errors of those that were refused.
    refused: list[dict[str, Any]]
    #: Requests without any answer.
    unanswered: int

    @property
    def rate(self) -> float:
        """Return how many were accepted per second."""
        return len(self.accepted) / self.seconds

    def quantile(self, share: float) -> float:
        """Return the wait below which ``share`` of the accepted requests are."""
        return quantile(self.accepted, share)


class Flood:
    """One DEALER that asks for ``method`` with ``fields``."""

    def __init__(self, endpoint: str, method: str, **fields: Any) -> None:
        self._endpoint = endpoint
        self._body = json.dumps({"method": method, **fields}).encode()

    def at_capacity(self, window: int, seconds: float) -> Outcome:
        """Keep ``window`` requests under way: another one for each that is answered."""
        return self._run(seconds, lambda _, open_ones: window - open_ones)

    def at_rate(self, rate: float, seconds: float) -> Outcome:
        """Ask ``rate`` times per second, whatever is answered."""
        sent = 0

        def due(elapsed: float, _: int) -> int:
            nonlocal sent
            count = int(elapsed * rate) - sent
            sent += count
            return count

        return self._run(seconds, due)

    def _run(self, seconds: float, due: Any) -> Outcome:
        began: dict[bytes, float] = {}
        accepted: list[float] = []
        refused: list[dict[str, Any]] = []
        number = 0
        with zmq.Context() as context, context.socket(zmq.DEALER) as socket:
            socket.set(zmq.LINGER, 0)
            socket.set_hwm(0)
            socket.connect(self._endpoint)
            start = time.perf_counter()
            while (elapsed := time.perf_counter() - start) < seconds + PATIENCE:
                if elapsed < seconds:
                    for _ in range(due(elapsed, len(began))):
                        number += 1
                        began[b"%d" % number] = time.perf_counter()
                        socket.send_multipart([b"%d" % number, b"", self._body])
                elif not began:
                    break
                while socket.poll(2):
                    token, _, body = socket.recv_multipart()
                    wait = time.perf_counter() - began.pop(token)
                    reply = json.loads(body)
                    if reply["success"] == 0:
                        accepted.append(wait)
                    else:
                        refused.append(reply["error"])
                    if time.perf_counter() - start < seconds:
                        break
        return Outcome(number, seconds, accepted, refused, len(began))
