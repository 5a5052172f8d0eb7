"""An honest client that measures how long it waits, and what its broker takes of memory."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path

import zmq

#: Seconds between two requests.
PACE = 0.004
#: Seconds that a single reply may take before it counts as lost.
PATIENCE = 60.0

_REQUEST = json.dumps({"method": "system.echo", "data": "x" * 100}).encode()


class Honest:
    """Asks one request after the other, from one REQ socket."""

    def __init__(self, endpoint: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.REQ)
        self._socket.set(zmq.LINGER, 0)
        self._socket.connect(endpoint)

    def ask(self) -> None:
        """Ask once and wait for the answer; raise ``AssertionError`` if it is none or wrong."""
        self._socket.send(_REQUEST)
        assert self._socket.poll(round(PATIENCE * 1000)), f"no reply within {PATIENCE:g} s"
        reply = json.loads(self._socket.recv())
        assert reply["success"] == 0, reply
        assert len(reply["result"]) == 100, reply

    def measure(self, seconds: float) -> list[float]:
        """Ask for ``seconds`` at an even pace; return how long each wait was, in seconds.

        Each wait counts from when the request was due: while the broker stands still all
        that would have been asked meanwhile waits.
        """
        waits = []
        due = time.perf_counter()
        end = due + seconds
        while due < end:
            now = time.perf_counter()
            if now < due:
                time.sleep(due - now)
            self.ask()
            waits.append(time.perf_counter() - due)
            due += PACE
        return waits

    def __enter__(self) -> Honest:
        return self

    def __exit__(self, *_: object) -> None:
        self._context.destroy(0)


def quantile(waits: Sequence[float], share: float) -> float:
    """Return the wait below which ``share`` of them are."""
    return sorted(waits)[min(len(waits) - 1, int(share * len(waits)))]


class Process:
    """What one process takes: resident memory in bytes, and seconds of the processor."""

    def __init__(self, pid: int) -> None:
        self._place = Path(f"/proc/{pid}")

    @property
    def now(self) -> int:
        """What it has now."""
        return self._read("VmRSS")

    @property
    def peak(self) -> int:
        """The most that it has had since :meth:`reset`."""
        return self._read("VmHWM")

    @property
    def busy(self) -> float:
        """Seconds of the processor that it has had."""
        fields = (self._place / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def reset(self) -> None:
        """Count the peak anew."""
        (self._place / "clear_refs").write_text("5")

    def _read(self, name: str) -> int:
        for line in (self._place / "status").read_text().splitlines():
            if line.startswith(f"{name}:"):
                return int(line.split()[1]) << 10
        raise LookupError(name)
