"""How much processor time processes have had."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

PROC = Path("/proc")


def cpu_ns(pids: Iterable[int]) -> int:
    """Return the nanoseconds that all threads of the processes ``pids`` have run so far.

    It is the scheduler's own account; the times in ``/proc/PID/stat`` are counted in
    hundredths of a second. Raises ``OSError`` where a process is gone, or where the kernel
    keeps no such account.
    """
    return sum(_of_process(pid) for pid in pids)


def threads_ns(pid: int) -> dict[tuple[int, str], int]:
    """Return the same for each thread of one process, by its id and name."""
    return {
        (int(thread.name), (thread / "comm").read_text().strip()): _of_thread(thread)
        for thread in _threads(pid)
    }


def _of_process(pid: int) -> int:
    return sum(map(_of_thread, _threads(pid)))


def _threads(pid: int) -> Iterator[Path]:
    return (PROC / str(pid) / "task").iterdir()


def _of_thread(thread: Path) -> int:
    return int((thread / "schedstat").read_text().split()[0])
