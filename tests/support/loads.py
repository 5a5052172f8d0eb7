"""Hostile load on a broker's frontend, each kind in a process of its own.

::

    with Load("deaf", endpoint, count=4) as load:
        ...            # measure

``python -m tests.support.loads KIND ENDPOINT COUNT`` is that process: it says ``ready`` when
the load is on, and keeps it up until its standard input ends.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import select
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from tests.support import zmtp

ROOT = Path(__file__).resolve().parents[2]
#: Seconds for the load to be on.
PATIENCE = 60.0
#: Bytes of a reply that a deaf client asks for; how many at once, and then per second.
DEAF_BYTES = 256 << 10
DEAF_BURST = 300
DEAF_RATE = 10
#: Seconds for that burst to be answered.
DEAF_PAUSE = 3.0
#: Bytes of a frame that does not end its message; how many per second; and of all of them.
ENDLESS_FRAME = 64 << 10
ENDLESS_RATE = 16 << 20
ENDLESS_BYTES = 64 << 20
#: Bytes of empty frames in one message: two for each frame. 1.9 MiB.
EMPTY_BYTES = 2 * 996_147


class Load:
    """A process that loads ``endpoint``, from ``with`` to its end; ``count`` scales it."""

    def __init__(self, kind: str, endpoint: str, count: int = 1) -> None:
        self._words = [sys.executable, "-m", "tests.support.loads", kind, endpoint, str(count)]

    def __enter__(self) -> Load:
        self._process = subprocess.Popen(
            self._words,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        stdout = self._process.stdout
        assert stdout is not None
        assert select.select([stdout], [], [], PATIENCE)[0], f"no load in time: {self._words}"
        assert stdout.readline() == "ready\n", f"the load failed: {self._words}"
        return self

    def __exit__(self, *_: object) -> None:
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()
        try:
            self._process.wait(5.0)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


# In the process of its own --------------------------------------------------------------


def connected(endpoint: str) -> socket.socket:
    """Return a connection that may send messages."""
    raw = zmtp.connect(endpoint, timeout=PATIENCE)
    raw.sendall(zmtp.opening())
    # libzmq takes a message for a wrong handshake that comes before its own READY has left.
    heard = b""
    while b"Socket-Type" not in heard:
        heard += raw.recv(4096)
    return raw


def deaf(endpoint: str, count: int) -> None:
    """``count`` clients ask for large replies, and read none."""
    request = {"method": "system.echo", "data": "x" * DEAF_BYTES}
    packet = zmtp.message([b"", json.dumps(request).encode()])
    deaf_ones = [connected(endpoint) for _ in range(count)]
    for raw in deaf_ones:
        for _ in range(DEAF_BURST):
            raw.sendall(packet)
    time.sleep(DEAF_PAUSE)
    _say_ready()
    while True:
        for raw in deaf_ones:
            raw.sendall(packet)
            time.sleep(1 / DEAF_RATE)


def endless(endpoint: str, count: int) -> None:
    """``count`` messages that never end."""
    frame = zmtp.frame(bytes(ENDLESS_FRAME), zmtp.MORE)
    open_ones = [connected(endpoint) for _ in range(count)]
    _say_ready()
    for _ in range(ENDLESS_BYTES // ENDLESS_FRAME // count):
        for raw in open_ones:
            raw.sendall(frame)
            time.sleep(ENDLESS_FRAME / ENDLESS_RATE)
    time.sleep(1e6)


def empty(endpoint: str, count: int) -> None:
    """One message of very many empty frames from each of ``count`` clients."""
    packet = bytes([zmtp.MORE, 0]) * (EMPTY_BYTES // 2) + zmtp.frame(b"end")
    raws = [connected(endpoint) for _ in range(count)]
    _say_ready()
    time.sleep(0.2)
    for raw in raws:
        raw.sendall(packet)
    time.sleep(1e6)


def idle(endpoint: str, count: int) -> None:
    """``count`` connections that are made and say nothing."""
    _allow_files(count + 64)
    rng = random.Random(0)
    held = []
    for number in range(count):
        raw = zmtp.connect(endpoint, timeout=PATIENCE, rng=rng)
        raw.sendall(zmtp.opening())
        held.append(raw)
        if number % 64 == 63:
            # Its answer shows that the broker has taken in all before it.
            raw.recv(1)
    held[-1].recv(1)
    _say_ready()
    time.sleep(1e6)


def halves(endpoint: str, count: int) -> None:
    """``count`` connections at a time that never end their handshake."""
    _allow_files(count + 64)
    rng = random.Random(0)
    ways = (b"", zmtp.greeting()[:10], zmtp.greeting()[:33], zmtp.greeting())
    watched = selectors.DefaultSelector()

    def begin(number: int) -> None:
        raw = zmtp.connect(endpoint, timeout=PATIENCE, rng=rng)
        raw.sendall(ways[number % len(ways)])
        watched.register(raw, selectors.EVENT_READ, number)

    for number in range(count):
        begin(number)
    _say_ready()
    while True:
        for key, _ in watched.select():
            raw = key.fileobj
            assert isinstance(raw, socket.socket)
            if not _is_open(raw):
                watched.unregister(raw)
                raw.close()
                begin(key.data)


def _is_open(raw: socket.socket) -> bool:
    try:
        return bool(raw.recv(4096))
    except OSError:
        return False


def _allow_files(count: int) -> None:
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, count), hard))


def _say_ready() -> None:
    print("ready", flush=True)


LOADS: dict[str, Callable[[str, int], None]] = {
    load.__name__: load for load in (deaf, endless, empty, idle, halves)
}


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


def main() -> None:
    """Be the load that the command line names."""
    kind, endpoint, count = sys.argv[1:]
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        # The broker may end first.
        LOADS[kind](endpoint, int(count))


if __name__ == "__main__":
    main()
