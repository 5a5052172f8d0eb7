"""ZeroMQ contexts, made safely."""

from __future__ import annotations

import os

import zmq

#: libzmq's ctx option: messages received larger than this point into the receive
#: buffer and pin all of it, so a 40-byte message can hold 8 KiB. 0 copies instead.
_ZERO_COPY_RECV = 10
#: Sockets of one context: a worker process with thousands of hosts has three for each of them.
#: libzmq's own limit is 1023; room for one more costs 12 bytes.
_MAX_SOCKETS = 1 << 14

_seeded_pid = 0


def new_context(io_threads: int = 1) -> zmq.Context[zmq.Socket[bytes]]:
    """Return a context whose ROUTERs give out routing ids that cannot be guessed.

    libzmq draws a ROUTER's first routing id from libc's ``rand()`` and counts up from
    there; unseeded, every process starts at the same number. It is seeded once per
    process, before the first socket.
    """
    _seed()
    context = asking_context(io_threads)
    context.set(zmq.MAX_SOCKETS, _MAX_SOCKETS)
    return context


def asking_context(io_threads: int = 1) -> zmq.Context[zmq.Socket[bytes]]:
    """Return a context for sockets that give out no routing ids: there is no ROUTER."""
    context = zmq.Context(io_threads)
    context.set(_ZERO_COPY_RECV, 0)
    return context


def _seed() -> None:
    global _seeded_pid
    if _seeded_pid == os.getpid():
        return
    import ctypes  # here: importing it takes milliseconds, and a client asks only

    ctypes.CDLL(None).srand(ctypes.c_uint(int.from_bytes(os.urandom(4), "big")))
    _seeded_pid = os.getpid()
