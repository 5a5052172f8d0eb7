"""How far a long run is, on a terminal."""

from __future__ import annotations

import os
import stat
import sys
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

#: Seconds between two changes of the bar: one takes longer than a request does.
_INTERVAL = 0.1


class Progress:
    """Counts answers, and shows them on stderr where that is a terminal and stdout is none.

    On a terminal that gets the data itself, the lines show how far it is. ``total`` is how
    many bytes there are to be worked off, if that is known.
    """

    def __init__(self, total: int | None) -> None:
        self.done = 0
        self.failed = 0
        self._total = total
        self._position = 0
        self._next = 0.0
        self._bar = _bar(total) if _is_wanted() else None

    def advance(self, failed: bool, position: int) -> None:
        """One more has been answered; ``position`` bytes are worked off now."""
        self.done += 1
        self.failed += failed
        self._position = position
        if self._bar is not None and time.monotonic() >= self._next:
            self._next = time.monotonic() + _INTERVAL
            self._show(self._bar)

    def _show(self, bar: Bar) -> None:
        position = None if self._total is None else min(self._position, self._total)
        for task in bar.task_ids:
            bar.update(task, completed=position, done=self.done, failed=self.failed)

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._show(self._bar)
            self._bar.stop()


def size_of(fileno: int) -> int | None:
    """Return how many bytes are to be read from a file; ``None`` for a pipe or a terminal."""
    status = os.fstat(fileno)
    if not stat.S_ISREG(status.st_mode):
        return None
    return max(0, status.st_size - os.lseek(fileno, 0, os.SEEK_CUR))


def _is_wanted() -> bool:
    return sys.stderr.isatty() and not sys.stdout.isatty()


def _bar(total: int | None) -> Bar:
    # Here, because rich is slow to import and a pipe does not need it.
    from rich.console import Console
    from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bar

    bar = Bar(
        SpinnerColumn(),
        BarColumn(),
        TextColumn("{task.fields[done]} answered, {task.fields[failed]} failed"),
        TimeElapsedColumn(),
        console=Console(file=sys.stderr),
        redirect_stdout=False,
        redirect_stderr=False,
    )
    bar.add_task("", total=total, done=0, failed=0)
    return bar
