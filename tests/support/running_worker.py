"""A worker as a real process with real children, for a backend that the test plays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import psutil

from vpoller_like.config import Settings, WorkerSettings

ROOT = Path(__file__).resolve().parents[2]
#: Agents for tests, and what makes them known as installed.
AGENTS = Path(__file__).resolve().parent / "worker_agents"
#: Seconds for something that takes a second or two on an idle machine.
PATIENCE = 30.0

_RUN = """
import logging, sys, msgspec
from vpoller_like.config import Settings
from vpoller_like.worker import run_worker
logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
sys.exit(run_worker(msgspec.json.decode(sys.argv[1], type=Settings)))
"""


def eventually(holds: Callable[[], Any], what: str, timeout: float = PATIENCE) -> Any:
    """Return the first true value of ``holds()``; fail after ``timeout`` seconds."""
    deadline = time.monotonic() + timeout
    while not (value := holds()):
        assert time.monotonic() < deadline, f"not within {timeout:g} s: {what}"
        time.sleep(0.02)
    return value


class RunningWorker:
    """Leaving the block ends it; a process that is left then fails the test.

    ``backends`` are endpoints; ``path`` is where agents are found, beside the package's own.
    """

    def __init__(self, place: Path, *backends: str, path: Path = AGENTS, **worker: Any) -> None:
        worker = {"agents": ["tally"], "processes": 1, "threads": 1, "name": "test", **worker}
        self.settings = Settings(worker=WorkerSettings(backends=list(backends), **worker))
        self.log = place / "worker.log"
        self.pythonpath = os.pathsep.join([str(ROOT), str(path)])
        self._seen: dict[int, psutil.Process] = {}
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _RUN, msgspec.json.encode(self.settings).decode()],
                env={**os.environ, "PYTHONPATH": self.pythonpath},
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        """The supervisor's process id."""
        return self._process.pid

    def said(self) -> str:
        """Return all that was logged."""
        return self.log.read_text()

    def children(self) -> list[int]:
        """Return the ids of the processes that live."""
        try:
            found = psutil.Process(self.pid).children(recursive=True)
        except psutil.NoSuchProcess:
            return []
        self._seen.update({child.pid: child for child in found})
        return [child.pid for child in found if _lives(child)]

    def left_behind(self) -> list[int]:
        """Return the processes of this worker, ever seen, that live."""
        self.children()
        return [pid for pid, child in self._seen.items() if _lives(child)]

    def send(self, number: signal.Signals) -> None:
        """Send the supervisor a signal."""
        self._process.send_signal(number)

    def wait(self) -> int:
        """Return the supervisor's exit code once it has ended."""
        return self._process.wait(PATIENCE)

    def ends(self) -> bool:
        """Say whether the supervisor has ended."""
        return self._process.poll() is not None

    def _told_to_end(self) -> bool:
        if self.ends():
            return True
        self.send(signal.SIGTERM)
        time.sleep(0.1)
        return False

    def __enter__(self) -> RunningWorker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.children()
        try:
            # Again and again: two signals that come close together may count as one.
            eventually(self._told_to_end, "the supervisor has ended")
        finally:
            self._process.kill()
            self._process.wait()
            left = self.left_behind()
            for pid in left:
                os.kill(pid, signal.SIGKILL)
        assert kind is not None or not left, f"left behind: {left}"


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
