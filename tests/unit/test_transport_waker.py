"""The waker: no wake is lost, however it meets the loop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from vpoller_like.transport.poll import Poll
from vpoller_like.transport.waker import Waker

PATIENCE = 20.0


class Loop:
    """A poll that watches one waker."""

    def __init__(self) -> None:
        self.waker = Waker()
        self.poll = Poll()
        self.poll.watch(self.waker.fd)

    def woken(self, timeout: float = 0.0) -> bool:
        return self.waker.fd in self.poll.wait(timeout)


@pytest.fixture
def loop() -> Iterator[Loop]:
    loop = Loop()
    yield loop
    loop.waker.close()


def test_a_wake_ends_the_wait(loop: Loop) -> None:
    threading.Timer(0.05, loop.waker.wake).start()
    began = time.monotonic()
    assert loop.woken(PATIENCE)
    assert time.monotonic() - began < PATIENCE / 2


def test_without_a_wake_the_wait_takes_its_time(loop: Loop) -> None:
    began = time.monotonic()
    assert not loop.woken(0.05)
    assert time.monotonic() - began >= 0.045


def test_many_wakes_before_a_look_are_one(loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    writes: list[int] = []
    write = os.eventfd_write

    def counted(fd: int, value: int) -> None:
        writes.append(value)
        write(fd, value)

    monkeypatch.setattr(os, "eventfd_write", counted)
    for _ in range(100):
        loop.waker.wake()
    assert writes == [1]
    assert loop.woken()
    loop.waker.clear()
    assert not loop.woken()


def test_after_a_look_the_next_wake_counts_again(loop: Loop) -> None:
    for _ in range(3):
        loop.waker.wake()
        assert loop.woken()
        loop.waker.clear()
    assert not loop.woken()


def test_clearing_what_was_not_woken_is_harmless(loop: Loop) -> None:
    loop.waker.clear()
    loop.waker.wake()
    assert loop.woken()


def test_a_wake_amid_a_clear_is_seen_now_or_later(
    loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever was put down before the wake is found by the look after the clear."""
    mail: list[str] = []
    read = os.eventfd_read

    def post(fd: int) -> int:
        value: int = read(fd)
        mail.append("late")
        loop.waker.wake()
        return value

    loop.waker.wake()
    monkeypatch.setattr(os, "eventfd_read", post)
    loop.waker.clear()
    monkeypatch.undo()
    assert mail or loop.woken()
    mail.clear()
    loop.waker.wake()
    assert loop.woken(), "the waker fell asleep for good"


def test_no_mail_is_left_lying_however_the_threads_meet(loop: Loop) -> None:
    mail: list[int] = []
    seen: list[int] = []

    def post() -> None:
        for number in range(3000):
            mail.append(number)
            loop.waker.wake()

    threads = [threading.Thread(target=post) for _ in range(3)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE
    while len(seen) < 9000 and time.monotonic() < deadline:
        if loop.woken(1.0):
            loop.waker.clear()
        else:
            assert not mail, "mail was posted, and nobody was woken"
        while mail:
            seen.append(mail.pop())
    for thread in threads:
        thread.join()
    assert len(seen) == 9000


def test_a_wait_rounds_up_and_never_spins(loop: Loop) -> None:
    waits: list[int] = []

    class Poller:
        def poll(self, milliseconds: int) -> list[Any]:
            waits.append(milliseconds)
            return []

    loop.poll._poller = Poller()
    for seconds in (-1.0, 0.0, 0.0001, 0.0015, 1.0):
        loop.poll.wait(seconds)
    assert waits == [0, 0, 1, 2, 1000]
