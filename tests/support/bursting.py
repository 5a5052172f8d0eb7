"""Every way in which a burst may go, again and again: what leaks, leaks here."""

from __future__ import annotations

from typing import Any

import zmq
import zmq.backend

from vpoller_like.transport import burst
from vpoller_like.transport.context import new_context
from vpoller_like.transport.message import Sent
from vpoller_like.transport.pure import SKIPPED_PER_TURN

_MESSAGES = [
    (b"",),
    (b"one", b"", b"x" * 20),
    [b"x" * 100, bytearray(b"y" * 200), memoryview(b"z" * 70_000)],
    tuple(b"%d" % number for number in range(300)),
    (b"x" * (2 << 20), b"end"),
    [b""] * (SKIPPED_PER_TURN + 100),
]
_MAX_FRAMES = 9


def work(kind: str, rounds: int) -> None:
    """Send and receive messages of all kinds, with failures, by ``kind``; check what arrives."""
    burst.KIND = kind
    if kind == "c":
        burst._EXTENSION = burst.extension()
    context = new_context()
    router = _socket(context, zmq.ROUTER)
    router.set(zmq.ROUTER_MANDATORY, 1)
    router.bind("inproc://work")
    dealer = _socket(context, zmq.DEALER)
    dealer.set(zmq.ROUTING_ID, b"peer")
    dealer.connect("inproc://work")
    left, right = burst.open_socket(router, True), burst.open_socket(dealer, False)
    try:
        for _ in range(rounds):
            _round(left, right)
            if kind == "c":
                _misuse(left)
        _unread(right, burst.open_socket(router, True))
    finally:
        for socket in (router, dealer):
            socket.close(0)
        context.term()


def _socket(context: Any, kind: int) -> Any:
    return zmq.backend.Socket(context, kind)


def _round(left: burst.Socket, right: burst.Socket) -> None:
    assert set(right.send_all(_MESSAGES)) == {Sent.DONE}
    arrived = []
    while len(arrived) < len(_MESSAGES):
        arrived.extend(left.receive(2, _MAX_FRAMES, True)[0])
    kept = [[b"peer", *map(bytes, frames)][:_MAX_FRAMES] for frames in _MESSAGES]
    assert [message.frames for message in arrived] == kept
    assert [message.truncated for message in arrived] == [False] * 3 + [True, False, True]
    assert left.receive(9, _MAX_FRAMES, False) == ([], False)
    answers = [(b"peer", b"x" * size) for size in (1, 100, 10_000)]
    assert left.send_all([*answers, (b"nobody", b"x")]) == [Sent.DONE] * 3 + [Sent.GONE]
    assert left.send((b"peer", b"")) is Sent.DONE
    assert len(right.receive(9, 1, False)[0]) == 4
    _fill(left)
    while right.receive(256, 2, False)[1]:
        pass


def _fill(left: burst.Socket) -> None:
    outcomes = left.send_all([(b"peer", b"x", b"y" * 40)] * 3000)
    assert outcomes[0] is Sent.DONE
    assert outcomes[-1] is Sent.FULL


def _misuse(socket: Any) -> None:
    """Ask for what cannot be sent: of such a message nothing is (by C, which copies it first)."""
    for wrong in ([], [b"peer", "text"], [b"peer", 7], 7):
        for send in (socket.send, lambda message: socket.send_all([(b"peer", b"x"), message])):
            try:
                send(wrong)
            except (TypeError, IndexError):
                continue
            raise AssertionError(wrong)
    socket.receive(0, 1, False)


def _unread(right: burst.Socket, left: burst.Socket) -> None:
    """Leave a message half-read."""
    right.receive(999, 9, False)
    right.send(_MESSAGES[-1])
    assert left.receive(1, 9, False) == ([], True)
