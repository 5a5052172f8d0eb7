"""A clock that a thread sleeps on until it rings, without the interpreter's lock."""

from __future__ import annotations

import ctypes
import os
import time
import weakref

from vpoller_like.worker.compiled import compiled

#: Seconds after which it does not ring.
NEVER = float("inf")

_SECOND = 1_000_000_000


class _TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


class _TimerSpec(ctypes.Structure):
    _fields_ = (("interval", _TimeSpec), ("value", _TimeSpec))


_create = ctypes.CDLL(None, use_errno=True).timerfd_create
# PyDLL keeps the interpreter: letting go of it would take longer than the call.
_settime = ctypes.PyDLL(None).timerfd_settime


@compiled
class Alarm:
    """One kernel timer: one thread sets it, another waits. See timerfd_create(2).

    Setting it costs one system call and no switch of threads: who waits sleeps on until it
    rings.
    """

    def __init__(self) -> None:
        self._fd: int = _create(time.CLOCK_MONOTONIC, os.O_CLOEXEC)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "no timer can be had")
        self._specs: dict[float, object] = {}
        weakref.finalize(self, os.close, self._fd)

    def set(self, seconds: float) -> None:
        """Ring once in so many ``seconds``, and not when it was to ring before.

        Never rings where they are infinite. Meant for a few different lengths, which are kept.
        """
        spec = self._specs.get(seconds)
        if spec is None:
            spec = self._specs[seconds] = _spec(seconds)
        _settime(self._fd, 0, spec, None)

    def wait(self) -> None:
        """Sleep until it rings."""
        os.read(self._fd, 8)


def _spec(seconds: float) -> object:
    # Zero switches it off.
    ticks = 0 if seconds == NEVER else max(1, round(seconds * _SECOND))
    whole, rest = divmod(ticks, _SECOND)
    return ctypes.byref(_TimerSpec(_TimeSpec(0, 0), _TimeSpec(whole, rest)))
