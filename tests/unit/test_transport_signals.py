"""Signals that come while sockets are opened disturb nobody, and are not lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from vpoller_like.transport.context import asking_context, new_context
from vpoller_like.transport.requester import Channel
from vpoller_like.transport.signals import held
from vpoller_like.transport.sockets import worker_link

NOBODY = "tcp://127.0.0.1:9"
#: Seconds between two signals; there are many while a socket is opened.
EVERY = 0.00002


@pytest.fixture
def calls() -> Iterator[list[int]]:
    """Have a flood of signals come, and be counted."""
    seen: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: seen.append(number))
    signal.setitimer(signal.ITIMER_REAL, EVERY, EVERY)
    yield seen
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_link_is_opened_amid_signals(calls: list[int]) -> None:
    context = new_context()
    for _ in range(300):
        port, handshakes = worker_link(context, NOBODY)
        handshakes.close()
        port.close()
    context.term()
    assert calls


def test_a_client_is_opened_amid_signals(calls: list[int]) -> None:
    context = asking_context()
    for _ in range(300):
        Channel(context, NOBODY).close()
    context.term()
    assert calls


def test_what_comes_meanwhile_comes_at_the_end() -> None:
    seen: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: seen.append(number))
    with held():
        signal.raise_signal(signal.SIGALRM)
        assert not seen
    signal.signal(signal.SIGALRM, before)
    assert seen == [signal.SIGALRM]


def test_what_was_held_before_stays_so() -> None:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2])
    with held():
        pass
    assert signal.SIGUSR2 in signal.pthread_sigmask(signal.SIG_SETMASK, before)
