"""Many peers in one process, for ``scale.py``.

::

    crowd.py idle ENDPOINT KIND COUNT           connections that say nothing, of sockets of a KIND
    crowd.py workers ENDPOINT COUNT SLOTS METHODS HOSTS own|shared
    crowd.py load ENDPOINT WINDOW METHODS HOSTS
    crowd.py fill ENDPOINT COUNT bare|meta      requests that wait, from several connections

Idle peers and workers are TCP connections that speak ZMTP themselves: a thousand sockets of
libzmq's in one process would be slower than the broker that they are to measure. Each role
says ``ready`` and ends with its standard input; ``load`` reads seconds there, asks for so
long, and says how many answers it has had.
"""

from __future__ import annotations

import json
import selectors
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import zmq
import zmq.backend

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[2])

from tests.support import zmtp
from vpoller_like.protocol import worker as wire

#: Methods are ``scale.m0``, ``scale.m1``...; hosts are ``h0``, ``h1``...
METHOD = "scale.m"
HOST = "h"
#: Served by a worker without a single slot.
NEVER = "scale.never"
#: Bytes of a request's payload, and of a result.
PAYLOAD = "x" * 100
RESULT = json.dumps({"success": 0, "msg": "", "result": PAYLOAD}).encode()
#: Connections that a fill's requests are spread over: each may have 20,000 unanswered.
FILLERS = 20
#: Requests of a fill that are sent before the broker is given time to read them.
GULP = 500
PATIENCE = 20.0
_GREETING = 64
_MORE = int(zmq.SNDMORE)
_NOW = int(zmq.DONTWAIT)


class Peer:
    """One connection, once its handshake is done."""

    def __init__(self, endpoint: str, kind: str) -> None:
        self.raw = zmtp.connect(endpoint, PATIENCE)
        self.raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.raw.sendall(zmtp.opening(kind.encode()))
        self._unread = b""
        self._begun: list[bytes] = []
        self._skip(_GREETING)
        self._ready()

    def _skip(self, count: int) -> None:
        while len(self._unread) < count:
            self._fill()
        self._unread = self._unread[count:]

    def _ready(self) -> None:
        """Wait for the other side's READY, which ends the handshake."""
        while (frame := self._frame()) is None:
            self._fill()
        flags, body = frame
        if not flags & zmtp.COMMAND or not body.startswith(b"\x05READY"):
            raise ConnectionError(f"the handshake has failed: {body[:40]!r}")

    def _fill(self) -> None:
        data = self.raw.recv(1 << 16)
        if not data:
            raise ConnectionError("the broker has closed a connection")
        self._unread += data

    def _frame(self) -> tuple[int, bytes] | None:
        """Take a whole frame off what has been read, if there is one."""
        data = self._unread
        is_long = bool(data) and bool(data[0] & zmtp.LONG)
        head = 9 if is_long else 2
        if len(data) < head:
            return None
        size = int.from_bytes(data[1:head], "big")
        if len(data) < head + size:
            return None
        self._unread = data[head + size :]
        return data[0], data[head : head + size]

    def messages(self) -> Iterator[list[bytes]]:
        """Read what has come, and yield each message's frames."""
        self._fill()
        while (frame := self._frame()) is not None:
            flags, body = frame
            if flags & zmtp.COMMAND:
                continue
            self._begun.append(body)
            if not flags & zmtp.MORE:
                whole, self._begun = self._begun, []
                yield whole

    def send(self, frames: tuple[bytes, ...]) -> None:
        """Send one message."""
        self.raw.sendall(zmtp.message(frames))


class Worker(Peer):
    """A worker that answers at once. ``number`` names it."""

    def __init__(
        self, endpoint: str, number: int, slots: int, methods: list[str], hosts: list[str] | None
    ) -> None:
        super().__init__(endpoint, "DEALER")
        self.is_known = False
        self._slots = slots
        self._session = self._seq = 0
        self._instance = f"{number:08d}{time.monotonic_ns()}"
        self._label = f"crowd/{number}"
        offered = [wire.Method(name=name) for name in methods]
        self._offers = [wire.Offer(agent="scale", methods=offered, hosts=hosts)]
        self.heartbeat = 1.0
        self.due = 0.0

    def greet(self) -> None:
        """Say HELLO."""
        self._session += 1
        self._seq = 0
        hello = wire.Hello(
            version=wire.VERSION,
            label=self._label,
            instance=self._instance,
            session=self._session,
            pid=1,
            slots=self._slots,
            ahead=0,
            offers=self._offers,
        )
        self.send(wire.encode(hello))

    def beat(self) -> None:
        """Say HEARTBEAT."""
        self.send(wire.encode(wire.Heartbeat(self._slots, 0)))

    def serve(self) -> None:
        """Take in what the broker has said."""
        for frames in self.messages():
            said = wire.decode_from_broker(frames)
            if isinstance(said, wire.Tasks):
                self._answer(said)
            elif isinstance(said, wire.Welcome):
                self.is_known = True
                self.heartbeat = said.heartbeat_ms / 1000
            elif isinstance(said, wire.Resync):
                self.greet()

    def _answer(self, tasks: wire.Tasks) -> None:
        self._seq += 1
        results = [wire.Result(item.task, item.attempt, "", 1, RESULT) for item in tasks.items]
        self.send(wire.encode(wire.Results(self._seq, self._slots, 0, results)))


class Crowd:
    """Workers, and whoever reads what is said to them."""

    def __init__(self, workers: list[Worker]) -> None:
        self._workers = workers
        self._selector = selectors.DefaultSelector()
        for worker in workers:
            self._selector.register(worker.raw, selectors.EVENT_READ, worker)
        self._selector.register(sys.stdin, selectors.EVENT_READ)
        self._next = 0.0

    def register(self) -> None:
        """Have every worker known to the broker."""
        for worker in self._workers:
            worker.greet()
        until = time.monotonic() + PATIENCE
        while not all(worker.is_known for worker in self._workers):
            if time.monotonic() > until:
                raise TimeoutError("not all workers were welcomed")
            self._turn(0.1)
        self._spread()

    def _spread(self) -> None:
        """Spread the heartbeats over the time, as those of independent workers are."""
        now = time.monotonic()
        for number, worker in enumerate(self._workers):
            worker.due = now + worker.heartbeat * number / len(self._workers)

    def run(self) -> None:
        """Serve until standard input ends."""
        while self._turn(0.02):
            now = time.monotonic()
            if now >= self._next:
                self._next = now + 0.02
                self._beat(now)

    def _beat(self, now: float) -> None:
        for worker in self._workers:
            if worker.due <= now:
                worker.due = now + worker.heartbeat
                worker.beat()

    def _turn(self, patience: float) -> bool:
        for key, _ in self._selector.select(patience):
            if key.data is None:
                return False
            key.data.serve()
        return True


def idle(endpoint: str, kind: str, count: int) -> None:
    """Hold ``count`` connections that say nothing."""
    peers = [Peer(endpoint, kind) for _ in range(count)]
    _ready()
    sys.stdin.read()
    del peers


def workers(endpoint: str, count: int, slots: int, methods: int, hosts: int, whose: str) -> None:
    """Be ``count`` workers: of all hosts each, or each of ``own`` one; without hosts, of any."""
    names = [f"{METHOD}{number}" for number in range(methods)] or [NEVER]
    shared = [f"{HOST}{number}" for number in range(hosts)] or None
    crowd = Crowd(
        [
            Worker(
                endpoint, number, slots, names, [f"{HOST}{number}"] if whose == "own" else shared
            )
            for number in range(count)
        ]
    )
    crowd.register()
    _ready()
    crowd.run()


class Line:
    """A DEALER. pyzmq's base class spares what its own costs per call."""

    def __init__(self, endpoint: str) -> None:
        context: zmq.Context[Any] = zmq.Context.instance()
        self._whole = context.socket(zmq.DEALER)
        self._whole.linger = 0
        self._whole.set_hwm(0)
        self._whole.rcvtimeo = round(PATIENCE * 1000)
        self._whole.connect(endpoint)
        self._base = zmq.backend.Socket(context, -1, self._whole.underlying)

    def ask(self, body: bytes) -> None:
        """Send a request."""
        self._base.send(b"", _MORE)
        self._base.send(body)

    def take(self) -> bytes:
        """Return the next answer; raise ``zmq.Again`` where none comes."""
        self._base.recv()
        answer: bytes = self._base.recv()
        return answer


def load(endpoint: str, window: int, methods: int, hosts: int) -> None:
    """Ask for each method and host in turn, ``window`` requests under way."""
    line = Line(endpoint)
    bodies = [_request(number, methods, hosts) for number in range(max(1, methods, hosts))]
    _asked(line, bodies, len(bodies), 1)  # each route is known
    _ready()
    for text in sys.stdin:
        print(_timed(line, bodies, float(text), window), flush=True)


def _timed(line: Line, bodies: list[bytes], seconds: float, window: int) -> int:
    until = time.monotonic() + seconds
    done = 0
    while time.monotonic() < until:
        done += _asked(line, bodies, max(len(bodies), 20 * window), window)
    return done


def _asked(line: Line, bodies: list[bytes], count: int, window: int) -> int:
    """Ask ``count`` times, beginning with the first of ``bodies``; return how often."""
    size = len(bodies)
    for number in range(count + window):
        if number >= window:
            answer = line.take()
            if not answer.startswith(b'{"success": 0') and b'"success":0' not in answer:
                raise SystemExit(f"not a success: {answer[:300]!r}")
        if number < count:
            line.ask(bodies[number % size])
    return count


def _request(number: int, methods: int, hosts: int) -> bytes:
    fields = {"method": f"{METHOD}{number % methods}", "data": PAYLOAD}
    if hosts:
        fields["hostname"] = f"{HOST}{number % hosts}"
    return json.dumps(fields).encode()


def fill(endpoint: str, count: int, kind: str) -> None:
    """Have ``count`` requests wait, and say how many bytes their bodies have together."""
    lines = [Line(endpoint) for _ in range(FILLERS)]
    size = 0
    for number in range(count):
        body = _waiting(number, kind)
        size += len(body)
        lines[number % FILLERS].ask(body)
        if number % GULP == 0:
            time.sleep(0.002)
    print(size, flush=True)
    _ready()
    sys.stdin.read()


def _waiting(number: int, kind: str) -> bytes:
    fields: dict[str, Any] = {"method": NEVER, "data": PAYLOAD}
    if kind == "meta":
        fields["meta"] = {"id": f"{number:032x}", "age_ms": 0, "deadline_ms": 600_000}
    return json.dumps(fields).encode()


def _ready() -> None:
    print("ready", flush=True)


def main() -> None:
    """Play a role."""
    role, endpoint, *words = sys.argv[1:]
    match role:
        case "idle":
            idle(endpoint, words[0], int(words[1]))
        case "workers":
            numbers = [int(word) for word in words[:4]]
            workers(endpoint, *numbers, words[4])  # type: ignore[call-arg]
        case "load":
            load(endpoint, *(int(word) for word in words))
        case "fill":
            fill(endpoint, int(words[0]), words[1])


if __name__ == "__main__":
    main()
