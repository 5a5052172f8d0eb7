"""A message is sent whole or not at all, whenever its peer leaves."""

from __future__ import annotations

import pytest
import zmq

from vpoller_like.transport.whole import send_whole

FRAMES = (b"1", b"2", b"3", b"4")


class Leaving:
    """A DEALER's base socket whose peer leaves before frame number ``at``."""

    def __init__(self, at: int) -> None:
        self._at = at
        self._calls = 0
        self.open = False
        self.sent: list[bytes] = []

    def send(self, frame: bytes, flags: int) -> None:
        self._calls += 1
        if self._calls == self._at:
            # As libzmq's lb_t has it: what follows is dropped, if more of it was announced.
            self.open = self._at > 1 and bool(flags & int(zmq.SNDMORE))
            raise zmq.Again
        self.open = bool(flags & int(zmq.SNDMORE))
        self.sent.append(frame)


@pytest.mark.parametrize("at", [1, 2, 3, 4])
def test_a_peer_that_leaves_amid_a_message_leaves_no_open_message(at: int) -> None:
    socket = Leaving(at)
    assert send_whole(socket.send, FRAMES) is False
    assert not socket.open
    assert socket._calls in (1, 4)


def test_a_peer_that_stays_gets_all_frames() -> None:
    socket = Leaving(0)
    assert send_whole(socket.send, FRAMES) is True
    assert socket.sent == list(FRAMES)
    assert not socket.open
