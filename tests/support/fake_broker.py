"""A broker that does what a test tells it: answers, is silent, refuses, dies, comes back."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import zmq


@dataclass
class Seen:
    """One request as it arrived. ``count`` is how many came before it, from 0."""

    count: int
    at: float
    envelope: list[bytes]
    fields: dict[str, Any]

    @property
    def meta(self) -> dict[str, Any]:
        meta: dict[str, Any] = self.fields["meta"]
        return meta

    @property
    def params(self) -> dict[str, Any]:
        reserved = ("method", "hostname", "meta")
        return {key: value for key, value in self.fields.items() if key not in reserved}


@dataclass
class Place:
    """Where an answer goes: to a message, or to one request in it by its index."""

    peer: bytes
    envelope: list[bytes]
    index: int | None = None


@dataclass
class Silence:
    """No reply at all."""


@dataclass
class Crash:
    """Close the socket; bind it again after so many seconds, if any."""

    back_after: float | None = None


@dataclass
class Later:
    """Give this answer after so many seconds."""

    seconds: float
    answer: Any


@dataclass
class Several:
    """Give all these answers to the one request."""

    answers: list[Any]


@dataclass
class Verbatim:
    """Send exactly these frames after the routing id."""

    frames: list[bytes]


#: A script returns an envelope (dict), a raw body (bytes), or one of the above.
Script = Callable[[Seen], Any]


def success(result: Any, seen: Seen | None = None) -> dict[str, Any]:
    meta = {} if seen is None else {"meta": {"id": seen.meta["id"], "attempts": 1}}
    return {"success": 0, "msg": "ok", "result": result, **meta}


def failure(code: str, msg: str = "no", retryable: bool = False, **details: Any) -> dict[str, Any]:
    error = {"code": code, "retryable": retryable, **details}
    return {"success": 1, "msg": msg, "error": error}


def echo(seen: Seen) -> Any:
    """Answer with the parameters."""
    return success(seen.params, seen)


def silent(_seen: Seen) -> Any:
    return Silence()


def in_turn(*answers: Any) -> Script:
    """Give these answers one after the other, and the last one from then on.

    A function among them is called with the request.
    """

    def script(seen: Seen) -> Any:
        answer = answers[min(seen.count, len(answers) - 1)]
        return answer(seen) if callable(answer) else answer

    return script


@dataclass
class FakeBroker:
    """A ROUTER in a thread. ``endpoint`` stays the same over :meth:`stop` and :meth:`start`."""

    script: Script = echo
    endpoint: str = "tcp://127.0.0.1:*"
    #: How many requests it takes in one message; 0: it knows no batches.
    most: int = 1000
    #: Answers a batch in the script's place, with these bodies.
    packs: Callable[[list[Seen]], list[bytes]] | None = None
    requests: list[Seen] = field(default_factory=list)
    #: How many requests each message held; a batch that was refused among them.
    sizes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._context = zmq.Context()
        self._stopping = threading.Event()
        self._pending: list[tuple[float, Place, Any]] = []
        self._thread: threading.Thread | None = None
        self._socket: zmq.Socket[bytes] | None = None

    def start(self) -> FakeBroker:
        self._stopping.clear()
        self._bind()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        return self

    def stop(self) -> None:
        """Die: whatever was not answered never will be."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(10)
            assert not self._thread.is_alive()
        self._pending.clear()

    def close(self) -> None:
        self.stop()
        self._context.term()

    @property
    def ids(self) -> list[str]:
        return [seen.meta["id"] for seen in self.requests]

    def _bind(self) -> None:
        socket = self._context.socket(zmq.ROUTER)
        socket.linger = 0
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.bind(self.endpoint)
                break
            except zmq.ZMQError:
                if time.monotonic() > deadline:
                    socket.close()
                    raise
                time.sleep(0.01)
        self.endpoint = socket.get_string(zmq.LAST_ENDPOINT)
        self._socket = socket

    def _serve(self) -> None:
        try:
            while not self._stopping.is_set():
                self._turn()
        finally:
            self._unbind()

    def _unbind(self) -> None:
        if self._socket is not None:
            self._socket.close(0)
            self._socket = None

    def _turn(self) -> None:
        if self._socket is not None and self._socket.poll(5):
            self._take(self._socket.recv_multipart())
        elif self._socket is None:
            time.sleep(0.005)
        now = time.monotonic()
        due = [entry for entry in self._pending if entry[0] <= now]
        self._pending = [entry for entry in self._pending if entry[0] > now]
        for _, place, answer in due:
            self._give(place, answer)

    def _take(self, frames: list[bytes]) -> None:
        place = Place(frames[0], frames[1 : frames.index(b"", 1) + 1])
        body = json.loads(frames[-1])
        self.sizes.append(len(body) if isinstance(body, list) else 1)
        if isinstance(body, dict):
            self._ask(place, body)
        elif len(body) > self.most:
            limit = {"limit": self.most} if self.most else {}
            self._give(place, failure("bad_request", "too many requests", **limit))
        elif self.packs is not None:
            for pack in self.packs([self._note(place, fields) for fields in body]):
                self._give(place, pack)
        else:
            for index, fields in enumerate(body):
                self._ask(Place(place.peer, place.envelope, index), fields)

    def _ask(self, place: Place, fields: dict[str, Any]) -> None:
        self._give(place, self.script(self._note(place, fields)))

    def _note(self, place: Place, fields: dict[str, Any]) -> Seen:
        seen = Seen(len(self.requests), time.monotonic(), place.envelope, fields)
        self.requests.append(seen)
        return seen

    def _give(self, place: Place, answer: Any) -> None:
        match answer:
            case Silence():
                pass
            case Later(seconds, later):
                self._pending.append((time.monotonic() + seconds, place, later))
            case Several(answers):
                for each in answers:
                    self._give(place, each)
            case Crash(back_after):
                self._crash(back_after)
            case "rebind":
                self._bind()
            case Verbatim(frames):
                self._send([place.peer, *frames])
            case _:
                self._send([place.peer, *place.envelope, _written(place, answer)])

    def _crash(self, back_after: float | None) -> None:
        self._unbind()
        self._pending.clear()
        if back_after is not None:
            self._pending.append((time.monotonic() + back_after, Place(b"", []), "rebind"))

    def _send(self, frames: list[bytes]) -> None:
        if self._socket is not None:
            self._socket.send_multipart(frames)


def _written(place: Place, answer: Any) -> bytes:
    body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return body if place.index is None else b"[[%d,%b]]" % (place.index, body)


@contextmanager
def fake_broker(
    script: Script = echo,
    most: int = 1000,
    packs: Callable[[list[Seen]], list[bytes]] | None = None,
) -> Iterator[FakeBroker]:
    broker = FakeBroker(script, most=most, packs=packs).start()
    try:
        yield broker
    finally:
        broker.close()


@contextmanager
def closed_port() -> Iterator[str]:
    """Yield an endpoint that refuses connections, held so that nobody else binds it."""
    import socket

    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"tcp://127.0.0.1:{held.getsockname()[1]}"
