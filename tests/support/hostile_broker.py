"""A broker that means harm: to whoever connects it says what no broker would."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time

import zmq

from tests.support import hostile, zmtp
from tests.support.decoders import FromBroker
from tests.support.mutator import spoiled_frames
from vpoller_like.protocol import worker as wire

#: What ends a worker, and may.
SHUTDOWN = bytes([wire.Command.SHUTDOWN])


class HostileListener:
    """A TCP port that answers each connection with broken ZMTP. ``served`` counts them."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.settimeout(0.1)
        self.endpoint = f"tcp://127.0.0.1:{self._socket.getsockname()[1]}"
        self.served = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                raw, _ = self._socket.accept()
                self.served += 1
                with contextlib.suppress(OSError), raw:
                    self._harm(raw)
        self._socket.close()

    def _harm(self, raw: socket.socket) -> None:
        raw.settimeout(0.1)
        door = self._rng.choice(("frontend", "backend", "plain"))
        opening, rest = self._rng.choice(hostile.ATTACKS)(self._rng, door)
        raw.sendall(opening.replace(b"\x06DEALER", b"\x06ROUTER"))
        with contextlib.suppress(TimeoutError):
            while rest and len(raw.recv(4096)) > 0:
                pass
        raw.sendall(rest)
        if self._rng.random() < 0.5:
            zmtp.reset(raw)

    def __enter__(self) -> HostileListener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)


class HostileBackend:
    """A ROUTER that says spoiled messages to each worker that speaks to it, in valid ZMTP."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)
        self._target = FromBroker()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.ROUTER)
        self._socket.linger = 0
        self._socket.bind("tcp://127.0.0.1:*")
        self.endpoint = self._socket.get_string(zmq.LAST_ENDPOINT)
        self.said = 0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        peers: set[bytes] = set()
        while not self._ended.is_set():
            while self._socket.poll(0 if peers else 50):
                peers.add(self._socket.recv_multipart()[0])
            for peer in sorted(peers):
                self._say(peer)
            time.sleep(0.001)
        self._socket.close(0)

    def _say(self, peer: bytes) -> None:
        frames = self._target.draw(self._rng)
        if self._rng.random() < 0.05:
            frames = spoiled_frames(frames, self._rng) or [b""]
        if frames and frames[0] != SHUTDOWN:
            self._socket.send_multipart([peer, *frames])
            self.said += 1

    def __enter__(self) -> HostileBackend:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join(10)
        self._context.destroy(0)
