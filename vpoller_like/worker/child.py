"""One worker process, seen from its supervisor."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import sys

import msgspec

from vpoller_like.config import Settings
from vpoller_like.worker import control

_MODULE = "vpoller_like.worker.process"


class Child:
    """A running process. Times are monotonic seconds."""

    def __init__(self, settings: Settings, label: str, now: float) -> None:
        self.label = label
        self.started_at = now
        self.heard_at = now
        #: When its agents were set up.
        self.up_at: float | None = None
        #: When it is killed, if it still runs then.
        self.kill_at: float | None = None
        #: It has done all that it was to do, and ends.
        self.done = False
        #: Why it cannot serve.
        self.failure: str | None = None
        self._asked_where = False
        ours, theirs = control.pair()
        with theirs:
            self.reports = control.Reports(ours)
            self._process = _spawn(theirs.fileno())
            _give(self._process, _start(settings, label, theirs.fileno()))
        #: Readable when it is dead.
        self.death = os.pidfd_open(self._process.pid)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def exit_code(self) -> int | None:
        """Return its exit code, a signal's number negated; ``None`` while it runs."""
        return self._process.poll()

    def drain(self) -> None:
        """Ask it to finish what runs and end."""
        self._process.send_signal(signal.SIGTERM)

    def reload(self) -> None:
        """Have it ask its agents whether their hosts are others now."""
        self._process.send_signal(control.RELOAD)

    def say_where(self) -> bool:
        """Have it write to stderr what its threads do; say whether that is news."""
        if self._asked_where:
            return False
        self._asked_where = True
        self._process.send_signal(control.WHERE)
        return True

    def kill(self) -> None:
        """End it now."""
        self.kill_at = None
        self._process.kill()

    def wait(self) -> None:
        """Wait until it is dead; it is to be killed before."""
        self._process.wait()

    def close(self) -> None:
        """Give the descriptors back; it is to be dead before."""
        self.reports.close()
        os.close(self.death)

    def kill_by(self, at: float) -> None:
        """Kill it ``at`` that time, or sooner if so arranged."""
        self.kill_at = at if self.kill_at is None else min(self.kill_at, at)


def _spawn(descriptor: int) -> subprocess.Popen[bytes]:
    # Ctrl-C reaches all of the terminal's processes; this one is to ignore it, also before
    # it has come so far as to say so. Nor is it to end where it is told to reload before it
    # knows what that is. It inherits what is blocked here.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, control.NOT_YET)
    try:
        # -P: what lies in the current directory is no more importable there than here.
        return subprocess.Popen(
            [sys.executable, "-P", "-m", _MODULE],
            stdin=subprocess.PIPE,
            pass_fds=[descriptor],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_path())},
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _import_path() -> list[str]:
    """Return where this process imports from, for its children to do so, too."""
    return [os.path.abspath(entry) for entry in sys.path]


def _start(settings: Settings, label: str, descriptor: int) -> control.Start:
    return control.Start(
        settings=settings,
        label=label,
        control=descriptor,
        supervisor_pid=os.getpid(),
        log_level=logging.getLogger("vpoller.worker").getEffectiveLevel(),
        pythonpath=os.environ.get("PYTHONPATH"),
    )


def _give(process: subprocess.Popen[bytes], start: control.Start) -> None:
    assert process.stdin is not None
    # One that dies at once reads nothing; that it died is seen soon enough.
    with contextlib.suppress(BrokenPipeError), process.stdin as stdin:
        stdin.write(msgspec.json.encode(start))
