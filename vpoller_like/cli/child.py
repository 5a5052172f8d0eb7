"""A ``vpoller`` process that another one started, and that does not outlive it.

``python -m vpoller_like.cli.child PARENT ARGUMENT...`` is ``vpoller ARGUMENT...``, tied to
the process PARENT.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import BinaryIO

#: prctl(2): have the kernel signal this process when its parent has died.
_PR_SET_PDEATHSIG = 1
#: Seconds that a child may take to end, each time that it is told to.
PATIENCE = 5.0


class Child:
    """One such process, seen from its parent; in the same process group.

    What it says goes to ``log``, or where its parent's words go.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: BinaryIO | None = None) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(os.getpid()), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return its exit code; ``None`` while it runs."""
        return self._process.poll()

    def end(self, told: bool = False, patience: float = PATIENCE) -> None:
        """Return when it is gone: told to drain (unless it was ``told`` so), to stop, killed.

        ``patience`` is how many seconds it has each time.
        """
        if told and self._gone_within(patience):
            return
        for ending in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            self._process.send_signal(ending)
            if self._gone_within(patience):
                return

    def _gone_within(self, seconds: float) -> bool:
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def tie_to(parent: int) -> None:
    """Take signals as usual, and SIGTERM at the death of ``parent``; exit if it is dead."""
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:  # it died before prctl
        sys.exit(1)


if __name__ == "__main__":
    from vpoller_like.cli.main import main

    tie_to(int(sys.argv[1]))
    sys.exit(main(sys.argv[2:]))
