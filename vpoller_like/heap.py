"""Memory of this process: what it has, and giving back what it has freed."""

from __future__ import annotations

import ctypes
import os

_PAGE = os.sysconf("SC_PAGE_SIZE")
_LIBC = ctypes.CDLL(None)


class Resident:
    """Tells how much of this process is in memory, also where no file can be opened any more.

    Belongs to the process that made it.
    """

    def __init__(self) -> None:
        self._statm = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)

    def bytes(self) -> int:
        """Return how many bytes are in memory now."""
        return int(os.pread(self._statm, 128, 0).split()[1]) * _PAGE

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self._statm)


def give_back() -> None:
    """Give freed memory back to the system, where the C library can.

    glibc keeps what lies between things that are still used. Thousands of connections that
    come and go leave ever more of it: 3000 of them, six times, 205 MiB instead of 22.
    """
    trim = getattr(_LIBC, "malloc_trim", None)
    if trim is not None:
        trim(0)
