"""A program in which Python's allocator fails at its first call, at its second, and so on.

A program of its own: what fails is the whole process's, its other threads' allocations too.
Prints how many calls have failed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tests.support.bursts import FakeLibzmq
from vpoller_like.transport.message import Message

_MESSAGE = (b"peer", b"", b"body")
_SENT = "peer++body\n"


@contextlib.contextmanager
def _failing(at: int, failed: list[int]) -> Iterator[None]:
    import _testcapi

    try:
        _testcapi.set_nomemory(at, at + 1)
        try:
            yield
        finally:
            _testcapi.remove_mem_hooks()
    except MemoryError:
        failed.append(at)


def _receive(libzmq: FakeLibzmq, at: int, failed: list[int]) -> None:
    """No message is lost."""
    socket: Any = libzmq.socket(routed=True)
    for _ in range(3):
        libzmq.put(*_MESSAGE, user=b"ann")
    got: list[Message] = []
    with _failing(at, failed):
        got = socket.receive(9, 2, True)[0]
    assert socket.pending() == (not got), got
    if not got:
        got = socket.receive(9, 2, True)[0]
    assert got == [Message(list(_MESSAGE[:2]), True, "ann")] * 3, got


def _send(libzmq: FakeLibzmq, at: int, failed: list[int]) -> None:
    """No message is sent in part."""
    socket: Any = libzmq.socket(routed=True)
    libzmq.reset()
    with _failing(at, failed):
        socket.send_all([_MESSAGE, list(_MESSAGE)])
    assert libzmq.sent in ("", _SENT * 2), libzmq.sent
    libzmq.reset()
    sent = None
    with _failing(at, failed):
        sent = socket.send(_MESSAGE)
    assert libzmq.sent == ("" if sent is None else _SENT)


def main() -> None:
    """Try the first hundred calls."""
    libzmq = FakeLibzmq()
    failed: dict[str, list[int]] = {"receive": [], "send": []}
    for at in range(100):
        _receive(libzmq, at, failed["receive"])
        _send(libzmq, at, failed["send"])
    assert libzmq.open == 0, libzmq.open
    print(*map(len, failed.values()))


if __name__ == "__main__":
    main()
