"""The waker: no wake is lost, however it meets the loop."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

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


@pytest.mark.parametrize("seconds", [-1.0, 0.0, 0.0001, 0.0015, 0.03])
def test_a_wait_is_not_shorter_than_asked_for(loop: Loop, seconds: float) -> None:
    # Whoever waits for what is due in less than a millisecond would else ask again and again.
    for _ in range(20 if seconds < 0.01 else 2):
        began = time.monotonic()
        assert not loop.woken(seconds)
        assert time.monotonic() - began >= seconds


def test_a_wait_for_longer_than_there_are_milliseconds_is_one(loop: Loop) -> None:
    threading.Timer(0.05, loop.waker.wake).start()
    assert loop.woken(1e12)


@contextmanager
def alarm(handler: Callable[..., object], seconds: float) -> Iterator[None]:
    """Have ``handler`` called by a signal every so many ``seconds``."""
    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_signals_do_not_end_a_wait_nor_make_it_longer(loop: Loop) -> None:
    calls: list[int] = []
    with alarm(lambda number, _: calls.append(number), 0.01):
        began = time.monotonic()
        assert not loop.woken(0.2)
        assert time.monotonic() - began >= 0.2
    assert len(calls) > 1, "no signal came while it waited"


def test_a_signal_can_wake(loop: Loop) -> None:
    with alarm(lambda *_: loop.waker.wake(), 0.05):
        assert loop.woken(PATIENCE)


def test_what_a_signal_raises_ends_the_wait(loop: Loop) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with alarm(interrupt, 0.05), pytest.raises(KeyboardInterrupt):
        loop.woken(PATIENCE)
    assert not loop.woken()


def test_two_threads_cannot_wait_with_the_same(loop: Loop) -> None:
    refused: list[RuntimeError] = []

    def attempt(seconds: float) -> None:
        try:
            loop.poll.wait(seconds)
        except RuntimeError as error:
            refused.append(error)

    other = threading.Thread(target=attempt, args=(PATIENCE,))
    other.start()
    deadline = time.monotonic() + PATIENCE / 2
    while not refused and time.monotonic() < deadline:
        attempt(0.001)
    loop.waker.wake()
    other.join()
    assert refused
