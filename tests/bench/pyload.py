"""The load in Python, for where ``load.c`` cannot be built; the same words and the same answer.

``pyload.py ENDPOINT req|dealer CLIENTS WINDOW BATCH SECONDS PAYLOAD TEMPLATE``
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import zmq
import zmq.backend

#: Seconds that an answer may take.
PATIENCE = 10.0
_MORE = int(zmq.SNDMORE)
_NOW = int(zmq.DONTWAIT)
_DIGITS = 16


class Wrong(Exception):
    """An answer that is none to what was asked."""


class Answer(msgspec.Struct):
    """What is checked of a reply."""

    result: str
    success: int = 1


class Load:
    """Makes requests with numbers, and checks that each gets its own answer once."""

    def __init__(self, template: str, payload: int) -> None:
        self._before, _, self._after = template.partition("@P")
        self._filling = "x" * (payload - _DIGITS)
        self._nonce = int.from_bytes(os.urandom(4), "big")
        self._asked: dict[int, float] = {}
        self._read: Callable[[bytes], Answer] = msgspec.json.Decoder(Answer).decode
        self.trips: list[float] = []
        self.count = 0

    @property
    def under_way(self) -> int:
        """How many requests have no answer yet."""
        return len(self._asked)

    def request(self) -> bytes:
        """Return the next request."""
        number = self.count
        self.count += 1
        self._asked[number] = time.perf_counter()
        name = f"{self._nonce:08x}{number:08x}"
        before, after = (part.replace("@I", name) for part in (self._before, self._after))
        return f"{before}{number:0{_DIGITS}x}{self._filling}{after}".encode()

    def take(self, reply: bytes) -> int:
        """Check a reply; return the request's number. Raises ``Wrong``."""
        try:
            answer = self._read(reply)
            number = int(answer.result[:_DIGITS], 16)
            sent = self._asked.pop(number)
        except (msgspec.DecodeError, ValueError, KeyError) as error:
            raise Wrong(f"{type(error).__name__}: {reply[:300]!r}") from error
        if answer.success != 0 or answer.result[_DIGITS:] != self._filling:
            raise Wrong(repr(reply[:300]))
        self.trips.append(time.perf_counter() - sent)
        return number

    def greet(self, ask: Callable[[bytes], bytes]) -> None:
        """Have one request answered by ``ask``, and count from 0 again."""
        self.take(ask(self.request()))
        self.count = 0
        self.trips.clear()
        self._nonce = (self._nonce + 1) & 0xFFFFFFFF


class Line:
    """One socket. The base class spares pyzmq's cost per call."""

    def __init__(self, context: zmq.Context[Any], kind: int, endpoint: str) -> None:
        self.whole = context.socket(kind)
        self.whole.linger = 0
        self.whole.set_hwm(0)
        self.whole.rcvtimeo = round(PATIENCE * 1000)
        self.whole.connect(endpoint)
        self._base = zmq.backend.Socket(context, -1, self.whole.underlying)
        self._is_dealer = kind == zmq.DEALER
        self.send, self.receive = self._base.send, self._base.recv

    def ask(self, body: bytes) -> bytes:
        """Send ``body`` and return what is answered."""
        self.put(body)
        reply = self.get(0)
        assert reply is not None
        return reply

    def put(self, body: bytes) -> None:
        """Send ``body``."""
        if self._is_dealer:
            self.send(b"", _MORE)
        self.send(body)

    def get(self, flags: int = _NOW) -> bytes | None:
        """Return the next reply; ``None`` if there is none now."""
        try:
            reply: bytes = self.receive(flags)
        except zmq.Again:
            if not flags:
                raise Wrong(f"no answer within {PATIENCE:g} s") from None
            return None
        return self.receive() if self._is_dealer else reply


def run_req(load: Load, lines: list[Line], until: float) -> None:
    """Keep each of ``lines`` at one request."""
    if len(lines) == 1:
        while time.perf_counter() < until:
            load.take(lines[0].ask(load.request()))
        return
    poller = zmq.Poller()
    by_socket = {line.whole: line for line in lines}
    for line in lines:
        poller.register(line.whole, zmq.POLLIN)
        line.put(load.request())
    while load.under_way:
        ready = poller.poll(PATIENCE * 1000)
        if not ready:
            raise Wrong(f"no answer within {PATIENCE:g} s")
        for socket, _ in ready:
            line = by_socket[socket]
            load.take(line.get() or b"")
            if time.perf_counter() < until:
                line.put(load.request())


def run_dealer(load: Load, line: Line, window: int, batch: int, until: float) -> None:
    """Keep ``window`` requests under way, ``batch`` of them in one message."""
    while True:
        while load.under_way + batch <= window and time.perf_counter() < until:
            line.put(_message(load, batch))
        if not load.under_way:
            return
        body = line.get(0)
        while body is not None:
            _take(load, body, batch)
            body = line.get()


def _message(load: Load, batch: int) -> bytes:
    if batch == 1:
        return load.request()
    return b"[" + b",".join(load.request() for _ in range(batch)) + b"]"


def _take(load: Load, body: bytes, batch: int) -> None:
    if batch == 1 or not body.startswith(b"["):
        load.take(body)
        return
    for index, reply in msgspec.json.decode(body, type=list[tuple[int, msgspec.Raw]]):
        if load.take(bytes(reply)) % batch != index:
            raise Wrong(f"the reply with index {index} is another request's")


def main() -> None:
    """Be a load."""
    endpoint, kind, clients, window, batch, seconds, payload, template = sys.argv[1:]
    context: zmq.Context[Any] = zmq.Context()
    load = Load(template, int(payload))
    is_dealer = kind == "dealer"
    count = 1 if is_dealer else int(clients)
    lines = [Line(context, zmq.DEALER if is_dealer else zmq.REQ, endpoint) for _ in range(count)]
    for line in lines:
        load.greet(line.ask)
    print("ready", flush=True)
    sys.stdin.readline()
    before, begin = _cpu(), time.perf_counter()
    until = begin + float(seconds)
    if is_dealer:
        run_dealer(load, lines[0], int(window), int(batch), until)
    else:
        run_req(load, lines, until)
    _report(load, float(seconds), time.perf_counter() - begin, _cpu() - before)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _report(load: Load, seconds: float, spent: float, cpu: float) -> None:
    trips = sorted(load.trips)
    # Those that came after the deadline are few, and the time for them is counted, too.
    timely = len(trips) * seconds / max(seconds, spent)
    report = {
        "seconds": seconds,
        "timely": round(timely),
        "answers": len(trips),
        "p50_us": statistics.median(trips) * 1e6,
        "p99_us": trips[len(trips) * 99 // 100] * 1e6,
        "cpu_us": round(cpu * 1e6),
    }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    try:
        main()
    except Wrong as error:
        print(error, file=sys.stderr)
        sys.exit(1)
