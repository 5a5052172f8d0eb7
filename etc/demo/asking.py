"""Three ways to say the same: Python, the shell, and a bare socket."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import zmq

from vpoller_like.client import VPollerClient


def from_python(endpoint: str, method: str, **params: Any) -> Any:
    """Ask as a Python program does."""
    with VPollerClient(endpoint, timeout=10_000) as client:
        return client.call(method, **params)


def from_the_shell(endpoint: str, method: str, *arguments: str) -> Any:
    """Ask as a script does, with ``vpoller call``."""
    command = [sys.executable, "-m", "vpoller_like.cli", "call", method, *arguments]
    answer = subprocess.run(
        [*command, "--endpoint", endpoint, "-o", "json"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        check=True,
    )
    return json.loads(answer.stdout)


def from_a_socket(endpoint: str, method: str, **params: Any) -> Any:
    """Ask as any language with ZeroMQ does: one JSON object, no library of ours."""
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.linger = 0
        socket.rcvtimeo = 10_000
        socket.connect(endpoint)
        socket.send_json({"method": method, **params})
        reply = socket.recv_json()
    if not isinstance(reply, dict) or reply.get("success") != 0:
        raise RuntimeError(f"{method} failed: {reply}")
    return reply["result"]
