"""A broker in a thread of this process, and a worker that does as the test says."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

import zmq

from vpoller_like.broker import BrokerServer
from vpoller_like.config import BrokerSettings
from vpoller_like.keys import KeyDirectory
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import Encoding, decode_object, encode
from vpoller_like.protocol.reply import success
from vpoller_like.protocol.request import parse_head
from vpoller_like.transport.curve import Credentials

#: Seconds for what should take milliseconds.
PATIENCE = 20.0
DOORS = ("frontend", "backend", "plain", "admin")


class RunningBroker:
    """A broker on free ports, and sockets that end with it."""

    def __init__(self, keys: KeyDirectory | None = None, **settings: Any) -> None:
        doors: dict[str, Any] = dict.fromkeys(DOORS, "tcp://127.0.0.1:*")
        settings.setdefault("grace_ms", 1)
        self.server = BrokerServer(BrokerSettings(**doors | settings), keys=keys)
        self.context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._thread = threading.Thread(target=self._run, name="broker")
        self.failure: BaseException | None = None

    def _run(self) -> None:
        try:
            self.server.run()
        except BaseException as error:
            self.failure = error
            raise
        finally:
            self.server.close()

    def __enter__(self) -> RunningBroker:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self.server.stop()
        self._thread.join(PATIENCE)
        self.context.destroy(0)
        assert not self._thread.is_alive(), "the broker did not end"
        assert self.failure is None, f"the broker died of {self.failure!r}"

    @property
    def backend(self) -> str:
        """Where workers connect."""
        return self.server.endpoints["backend"]

    def ended(self) -> bool:
        """Wait for the broker to end by itself."""
        self._thread.join(PATIENCE)
        return not self._thread.is_alive()

    def socket(self, kind: int, door: str = "frontend", **options: int) -> zmq.Socket[bytes]:
        """Connect a new socket to one of the broker's doors."""
        socket = self.context.socket(kind)
        socket.set(zmq.LINGER, 0)
        for name, value in options.items():
            socket.set(getattr(zmq, name), value)
        socket.connect(self.server.endpoints[door])
        return socket

    def ask_raw(self, body: bytes, door: str = "frontend") -> bytes:
        """Ask from a fresh REQ socket."""
        with self.socket(zmq.REQ, door) as socket:
            socket.send(body)
            return receive(socket)[0]

    def ask(self, method: str, door: str = "frontend", **fields: Any) -> dict[str, Any]:
        """Ask for ``method`` and return the whole reply."""
        body = encode({"method": method, **fields}, Encoding.JSON)
        return decode_object(self.ask_raw(body, door))

    def admin(self, verb: str, **fields: Any) -> Any:
        """Return the result of an admin verb."""
        reply = self.ask(verb, "admin", **fields)
        assert reply["success"] == 0, reply
        return reply["result"]

    def counter(self, name: str) -> int:
        """Return one of the broker's totals."""
        return int(self.admin("status")["counters"][name])

    def eventually(self, holds: Any, what: str) -> None:
        """Wait until ``holds()``."""
        deadline = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < deadline, f"in vain: {what}"
            time.sleep(0.01)


def receive(socket: zmq.Socket[bytes], patience: float = PATIENCE) -> list[bytes]:
    """Return the next message's frames."""
    assert socket.poll(round(patience * 1000)), "nothing came"
    return socket.recv_multipart()


class ScriptedWorker:
    """A worker with a thread that answers ``echo`` at once and keeps the heartbeat.

    ``endpoint`` is the backend of its broker; ``slots`` and ``ahead`` are its grant.
    Tasks of other methods are kept in ``held`` until :meth:`finish`.
    """

    def __init__(
        self,
        endpoint: str,
        *offers: wire.Offer,
        name: str = "scripted",
        slots: int = 8,
        ahead: int = 0,
        credentials: Credentials | None = None,
    ) -> None:
        self._credentials = credentials
        methods = [wire.Method(name="echo", retry_safe=True), wire.Method(name="hold")]
        self._offers = list(offers) or [wire.Offer("test", methods)]
        self._name, self._slots, self._ahead = name, slots, ahead
        self._endpoint = endpoint
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._instance = os.urandom(8).hex()
        self._session = 0
        self._seq = 0
        self._ended = threading.Event()
        self._finish = threading.Event()
        self.welcomed = threading.Event()
        self.sent_away = threading.Event()
        self.held: list[wire.Assignment] = []
        self.got = 0
        self._thread = threading.Thread(target=self._run, name=name)

    def __enter__(self) -> ScriptedWorker:
        self._thread.start()
        assert self.welcomed.wait(PATIENCE), "no WELCOME came"
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def end(self) -> None:
        """Say no goodbye."""
        self._ended.set()
        self._thread.join(PATIENCE)
        self._context.destroy(0)

    def finish(self) -> None:
        """Answer all that is held, and whatever comes from now on."""
        self._finish.set()

    def _run(self) -> None:
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.set(zmq.LINGER, 0)
        if self._credentials is not None:
            self._credentials.apply(self._socket)
        self._socket.connect(self._endpoint)
        self._hello()
        next_beat = time.monotonic() + 0.3
        while not self._ended.is_set():
            if self._socket.poll(10):
                self._hear(wire.decode_from_broker(self._socket.recv_multipart()))
            if self._finish.is_set() and self.held:
                self._answer(self.held)
                self.held = []
            if time.monotonic() > next_beat:
                next_beat = time.monotonic() + 0.3
                self._say(wire.Heartbeat(self._slots, self._ahead))
        self._socket.close(0)

    def _say(self, message: wire.FromWorker) -> None:
        self._socket.send_multipart(wire.encode(message))

    def _hello(self) -> None:
        self._session += 1
        self._seq = 0
        self._say(
            wire.Hello(
                version=wire.VERSION,
                label=self._name,
                instance=self._instance,
                session=self._session,
                pid=os.getpid(),
                slots=self._slots,
                ahead=self._ahead,
                offers=self._offers,
            )
        )

    def _hear(self, message: wire.FromBroker) -> None:
        match message:
            case wire.Welcome():
                self.welcomed.set()
            case wire.Refused():
                self.sent_away.set()
            case wire.Resync():
                self._hello()
            case wire.Tasks(session=session, items=items) if session == self._session:
                self.got += len(items)
                self._answer([item for item in items if item.method == "echo"])
                self.held.extend(item for item in items if item.method != "echo")
            case wire.WhoHas(query=query):
                self._say(wire.Have(query, wire.Possession.NONE))
            case _:
                pass

    def _answer(self, items: list[wire.Assignment]) -> None:
        if not items:
            return
        self._seq += 1
        results = [
            wire.Result(item.task, item.attempt, "", 100, _echo(item.body)) for item in items
        ]
        self._say(wire.Results(self._seq, self._slots, self._ahead, results))


def _echo(body: bytes) -> bytes:
    parse_head(body)
    fields = decode_object(body)
    encoding = Encoding.JSON if body[:1] in b" {" else Encoding.MSGPACK
    return success(fields.get("data"), "echo", encoding)
