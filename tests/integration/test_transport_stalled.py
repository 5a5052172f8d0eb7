"""A peer that leaves while more of its messages wait than are taken in."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.support.fabric import ROOT

_STALLED = """
import sys, time, zmq
from vpoller_like.transport.context import new_context
from vpoller_like.transport.sockets import backend, frontend
context, other = new_context(), zmq.Context()
port, binding = {"frontend": frontend, "backend": backend}[sys.argv[1]](
    context, "tcp://127.0.0.1:*"
)
peer = other.socket(zmq.DEALER)
peer.set(zmq.SNDHWM, 0)
peer.connect(binding.endpoint)
for _ in range(20_000):
    peer.send(b"x" * 1000)
time.sleep(0.5)
peer.close(0)
other.term()
time.sleep(2.5)
count = 0
while port.socket.poll(200):
    port.socket.recv_multipart()
    count += 1
port.close()
context.term()
print("read", count > 0)
"""


@pytest.mark.parametrize("door", ["frontend", "backend"])
def test_its_end_is_not_the_end_of_this_process(door: str) -> None:
    """A heartbeat was due on the closed connection, and libzmq aborted."""
    done = subprocess.run(
        [sys.executable, "-c", _STALLED, door],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "read True\n"), done.stderr
