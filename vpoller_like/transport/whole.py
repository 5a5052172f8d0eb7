"""Sending a message of several frames whole, or not at all."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import zmq

_NOBLOCK = int(zmq.NOBLOCK)
_SNDMORE_NOBLOCK = int(zmq.SNDMORE) | _NOBLOCK


def send_whole(send: Callable[[bytes, int], Any], frames: Sequence[bytes]) -> bool:
    """Send ``frames`` by a base socket's ``send``; return False if the peer takes nothing.

    A peer may leave between two frames: a DEALER then rolls back what was sent, and drops
    what follows up to a last frame. It is shown that end, or it would take the next message
    for the rest of this one. Raises ``ZMQError`` for anything but EAGAIN.
    """
    last = len(frames) - 1
    done = 0
    try:
        for frame in frames[:last]:
            send(frame, _SNDMORE_NOBLOCK)
            done += 1
        send(frames[last], _NOBLOCK)
    except zmq.Again:
        if 0 < done < last:
            for frame in frames[done + 1 : last]:
                send(frame, _SNDMORE_NOBLOCK)
            send(frames[last], _NOBLOCK)
        return False
    return True
