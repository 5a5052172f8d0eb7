"""Having signals wait where libzmq would give up because of one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def held() -> Iterator[None]:
    """Let no signal come to this thread meanwhile; what comes is there at the end.

    zmq_socket_monitor(3), zmq_connect(3) and zmq_bind(3) fail when one does, half done perhaps.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
