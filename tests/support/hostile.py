"""Hostile connections to a broker's doors: what each sends, and how it ends."""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from tests.support import zmtp
from tests.support.decoders import Agents, FromWorker, Replies
from tests.support.mutator import TOKENS, spoiled_frames

#: Seconds that a connection which says nothing more is held.
HOLD = 0.2
#: Bytes that a broker says until it takes messages: its greeting, and some of its READY.
HANDSHAKE = 70

#: What to send at once, and what once the broker has ended its part of the handshake.
Words = tuple[bytes, bytes]
Attack = Callable[[random.Random, str], Words]


class Corpus:
    """Bodies that mean something at a door, spoiled."""

    def __init__(self) -> None:
        self._requests = Agents()
        self._worker = FromWorker()
        self._replies = Replies()

    def message(self, rng: random.Random, door: str) -> list[bytes]:
        """Return the frames of one message for ``door``."""
        if door == "backend":
            return self._worker.draw(rng)
        if door == "plain":
            return [rng.randbytes(16), b"", *self._replies.draw(rng)]
        return [b"", *self._requests.draw(rng)]


CORPUS = Corpus()


def nothing(rng: random.Random, door: str) -> Words:  # noqa: ARG001
    """Connect, and that is all."""
    return b"", b""


def half_a_greeting(rng: random.Random, door: str) -> Words:  # noqa: ARG001
    """Stop somewhere in the handshake."""
    text = zmtp.opening()
    return text[: rng.randrange(len(text))], b""


def garbage(rng: random.Random, door: str) -> Words:  # noqa: ARG001
    """Bytes of any kind, now and then behind a signature."""
    start = rng.choice((b"", b"\xff", b"\xff" + bytes(8) + b"\x7f", b"GET / HTTP/1.1\r\n\r\n"))
    return start + rng.randbytes(rng.randrange(400)), b""


def spoiled_handshake(rng: random.Random, door: str) -> Words:
    """A good opening with some bytes changed."""
    data = bytearray(zmtp.opening(identity=rng.randbytes(7)) + _messages(rng, door))
    for _ in range(rng.randrange(1, 4)):
        data[rng.randrange(min(120, len(data)))] = rng.randrange(256)
    return bytes(data), _messages(rng, door)


def other_versions(rng: random.Random, door: str) -> Words:
    """ZMTP 1, 2 and 3.0, with messages in today's framing and in their own."""
    signature = b"\xff" + bytes(8) + b"\x7f"
    kind = bytes([rng.choice((0, 1, 2, 3, 5, 6, 9, 255))])
    starts = (
        b"\x01\x00",
        b"\x05\x00" + rng.randbytes(4),
        signature + b"\x00" + kind + zmtp.frame(rng.randbytes(6)),
        signature + b"\x01" + kind + zmtp.frame(b""),
        zmtp.greeting(minor=0) + zmtp.ready(),
        zmtp.greeting(major=rng.randrange(256), minor=rng.randrange(256)) + zmtp.ready(),
    )
    return rng.choice(starts), _messages(rng, door)


def wrong_mechanisms(rng: random.Random, door: str) -> Words:
    """PLAIN, CURVE and others to a door that speaks another one."""
    name = rng.choice((b"PLAIN", b"CURVE", b"GSSAPI", b"NULL\0x", b"\xff" * 20, b""))
    starts = (
        zmtp.command(b"HELLO", b"\x05admin\x05admin"),
        zmtp.command(b"HELLO", b"\x01\x00" + rng.randbytes(192)),
        zmtp.command(b"INITIATE", rng.randbytes(rng.randrange(400))),
        zmtp.ready(),
    )
    hello = zmtp.greeting(name, as_server=rng.randrange(2))
    return hello + rng.choice(starts), _messages(rng, door)


def odd_metadata(rng: random.Random, door: str) -> Words:
    """READY with lengths that lie, unknown types, long and repeated properties."""
    lie = struct.pack(">I", rng.choice((0, 1, 255, 1 << 16, (1 << 31) - 1, (1 << 32) - 1)))
    kind = rng.choice((b"DEALER", b"REQ", b"SUB", b"PUB", b"ROUTER", b"XYZ", b"", b"\0" * 40))
    # Another one for each connection: libzmq keeps what it has of one whose id is taken.
    short, long = rng.randbytes(6), rng.randbytes(rng.choice((255, 256, 5000)))
    datas = (
        b"\x0bSocket-Type" + lie + b"DEALER",
        bytes([rng.randrange(256)]) + b"Socket-Type",
        zmtp.properties((b"Socket-Type", kind), (b"Identity", long)),
        zmtp.properties((b"Socket-Type", kind), (b"X" * 255, b"v" * 5000)) * 3,
        zmtp.properties((b"Identity", b"a"), (b"Identity", short), (b"Socket-Type", kind)),
        b"",
        rng.randbytes(60),
    )
    name = rng.choice((b"READY", b"READY", b"READY", b"ERROR", b"", b"PING", b"R" * 255))
    return zmtp.greeting() + zmtp.command(name, rng.choice(datas)), _messages(rng, door)


def huge_lengths(rng: random.Random, door: str) -> Words:
    """A frame that says that it is larger than anything, and is not."""
    size = rng.choice(
        (1 << 63, (1 << 64) - 1, (1 << 63) - 1, 1 << 40, (9 << 20), 18 << 20, 1 << 32)
    )
    flags = rng.choice((zmtp.LONG, zmtp.LONG | zmtp.MORE, zmtp.LONG | zmtp.COMMAND))
    start = _messages(rng, door)
    return zmtp.opening(), start + bytes([flags]) + struct.pack(">Q", size) + rng.randbytes(100)


def commands_inside(rng: random.Random, door: str) -> Words:
    """Commands between the frames of a message, and flags that mean nothing."""
    inside = (
        zmtp.command(b"SUBSCRIBE", b"x"),
        zmtp.command(b"CANCEL", b"x"),
        zmtp.command(b"ERROR", b"\x03bad"),
        zmtp.command(b"READY"),
        zmtp.command(b"PONG"),
        zmtp.frame(b"x", rng.randrange(256) & ~zmtp.LONG),
        zmtp.frame(b"", zmtp.COMMAND | zmtp.MORE),
    )
    first, *rest = CORPUS.message(rng, door)
    text = zmtp.frame(first, zmtp.MORE) + rng.choice(inside) + zmtp.message(rest or [b""])
    return zmtp.opening(), text + _messages(rng, door)


def unfinished(rng: random.Random, door: str) -> Words:
    """A message whose end never comes."""
    frames = [zmtp.frame(b"x" * rng.randrange(300), zmtp.MORE) for _ in range(rng.randrange(1, 40))]
    cut = zmtp.message(CORPUS.message(rng, door))
    return zmtp.opening(), b"".join(frames) + cut[: rng.randrange(len(cut) + 1)]


def empty_frames(rng: random.Random, door: str) -> Words:  # noqa: ARG001
    """Many frames with nothing in them, of one message or each its own."""
    flags = rng.choice((zmtp.MORE, 0))
    return zmtp.opening(), zmtp.frame(b"", flags) * rng.randrange(400) + zmtp.frame(b"")


def chosen_ids(rng: random.Random, door: str) -> Words:
    """A routing id that somebody else has, or that libzmq might give out."""
    identity = rng.choice((b"twin", b"honest", b"\0" + rng.randbytes(4), b"\0", b"\0" * 255))
    return zmtp.opening(identity=identity), _messages(rng, door)


def subscriptions(rng: random.Random, door: str) -> Words:
    """What a SUB socket says, and other types that do not fit."""
    kind = rng.choice((b"SUB", b"XSUB", b"PULL", b"PAIR", b"REP", b"ROUTER", b"REQ"))
    return zmtp.opening(kind), zmtp.message([b"\x01topic"]) * 3 + _messages(rng, door)


def hostile_bodies(rng: random.Random, door: str) -> Words:
    """Valid ZMTP, and in it messages that are almost right."""
    return zmtp.opening(), _messages(rng, door, 12)


def spoiled_framing(rng: random.Random, door: str) -> Words:
    """Messages with frames left out, doubled, shuffled; and a token in the bytes."""
    text = b"".join(
        zmtp.message(spoiled_frames(CORPUS.message(rng, door), rng) or [b""]) for _ in range(6)
    )
    where = rng.randrange(len(text) + 1)
    return zmtp.opening(), text[:where] + rng.choice(TOKENS) + text[where:]


def _messages(rng: random.Random, door: str, most: int = 3) -> bytes:
    count = rng.randrange(1, most + 1)
    return b"".join(zmtp.message(CORPUS.message(rng, door)) for _ in range(count))


ATTACKS: tuple[Attack, ...] = (
    nothing,
    half_a_greeting,
    garbage,
    spoiled_handshake,
    other_versions,
    wrong_mechanisms,
    odd_metadata,
    huge_lengths,
    commands_inside,
    unfinished,
    empty_frames,
    chosen_ids,
    subscriptions,
    hostile_bodies,
    hostile_bodies,
    hostile_bodies,
    spoiled_framing,
    spoiled_framing,
)


def flood_with_pings(endpoint: str, rng: random.Random) -> None:
    """Send messages and ZMTP's heartbeats in turn, far more than are read, and reset.

    libzmq 4.3.5 aborts where it does such a PING when the connection is gone
    (stream_engine_base.cpp, "!_io_error"): two of these end a broker whose door is NULL. It
    takes more than RCVHWM messages with a PING behind them, and a RST (a close with a PONG
    unread is one) before they are read.
    """
    with contextlib.suppress(OSError), zmtp.connect(endpoint, rng=rng) as raw:
        raw.sendall(zmtp.opening())
        raw.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            raw.sendall((zmtp.message([b"", b"x"]) * 20 + zmtp.ping()) * 300)
        time.sleep(0.005)
        zmtp.reset(raw)


class Attackers:
    """Threads that attack ``doors`` (endpoints by name) ``connections`` times in all.

    The nth connection is the same for the same ``seed``, whoever makes it. ``made`` counts
    connections by attack; ``refused`` those that could not be made or written at all.
    """

    def __init__(
        self,
        doors: Mapping[str, str],
        connections: int,
        seed: int,
        threads: int = 8,
        attacks: Sequence[Attack] = ATTACKS,
    ) -> None:
        self._attacks = attacks
        self._doors = sorted(doors.items())
        self._connections = connections
        self._seed = seed
        self._next = 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self.made: Counter[str] = Counter()
        self.refused = 0
        #: Connections whose handshake the broker has ended.
        self.admitted = 0
        self._threads = [threading.Thread(target=self._run) for _ in range(threads)]

    @property
    def done(self) -> int:
        """Return how many connections were made."""
        return sum(self.made.values())

    @property
    def begun(self) -> int:
        """Return how many were begun."""
        return min(self._next, self._connections)

    @property
    def busy(self) -> bool:
        """Say whether more are to come."""
        return any(thread.is_alive() for thread in self._threads)

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Make no more, and wait for those that are being made."""
        self._stop.set()
        for thread in self._threads:
            thread.join(30)

    def _run(self) -> None:
        while not self._stop.is_set():
            with self._lock:
                number, self._next = self._next, self._next + 1
            if number >= self._connections:
                return
            name = self._attack(random.Random(f"{self._seed}/{number}"))
            with self._lock:
                self.made[name] += 1

    def _attack(self, rng: random.Random) -> str:
        door, endpoint = rng.choice(self._doors)
        attack = rng.choice(self._attacks)
        opening, rest = attack(rng, door)
        try:
            raw = zmtp.connect(endpoint, rng=rng)
        except OSError:
            self._note_refusal()
            return attack.__name__
        with contextlib.suppress(OSError), raw:
            raw.sendall(opening)
            if rest and self._shaken_hands(raw):
                raw.sendall(rest)
            _end(raw, rng)
        return attack.__name__

    def _shaken_hands(self, raw: socket.socket) -> bool:
        """Wait for the broker's handshake; it takes no message before it has sent its own."""
        raw.settimeout(0.3)
        got = b""
        while len(got) < HANDSHAKE:
            data = raw.recv(4096)
            if not data:
                return False
            got += data
        with self._lock:
            self.admitted += 1
        return True

    def _note_refusal(self) -> None:
        with self._lock:
            self.refused += 1


def _end(raw: socket.socket, rng: random.Random) -> None:
    ending = rng.random()
    if ending < 0.03:
        time.sleep(HOLD)
    elif ending < 0.3:
        raw.settimeout(0.05)
        raw.recv(4096)
    if rng.random() < 0.4:
        zmtp.reset(raw)


class Honest(threading.Thread):
    """A client that asks and knows the answers. ``ask`` returns the reply to a request."""

    def __init__(
        self, ask: Callable[[dict[str, object]], Mapping[str, object]], pause: float = 0.005
    ) -> None:
        super().__init__()
        self._ask = ask
        self._pause = pause
        self._ended = threading.Event()
        self.right = 0
        self.wrong: list[str] = []
        self.seconds: list[float] = []

    def run(self) -> None:
        number = 0
        while not self._ended.is_set():
            number += 1
            data = f"honest {number}"
            request: dict[str, object] = {"method": "system.echo", "data": data}
            if number % 10 == 0:
                request["meta"] = {"id": f"honest-{number}", "age_ms": 0}
            start = time.monotonic()
            try:
                reply = self._ask(request)
            except Exception as error:
                self.wrong.append(f"{request}: {error!r}")
                continue
            self.seconds.append(time.monotonic() - start)
            if reply.get("success") == 0 and reply.get("result") == data:
                self.right += 1
            else:
                self.wrong.append(f"{request}: {reply}")
            self._ended.wait(self._pause)

    def end(self) -> None:
        """Ask no more."""
        self._ended.set()
        self.join(60)
