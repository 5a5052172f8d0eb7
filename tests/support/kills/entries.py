"""What askers and workers have written down, read back. Times are monotonic seconds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec


class Run(NamedTuple):
    """One run of a request, by its worker's ledger; ``ended`` is ``None`` if it never did."""

    number: int
    pid: int
    run: int
    started: float
    ended: float | None

    @property
    def value(self) -> str:
        """What its reply says of it."""
        return value_of(self.pid, self.run)


class Answer(NamedTuple):
    """What one asking of a request came to.

    ``code`` is empty for a success, whose ``value`` names the run; otherwise ``value`` is
    the error's message. ``worker`` is whom the reply names.
    """

    number: int
    sent: float
    received: float
    code: str
    value: str
    worker: str


def value_of(pid: int, run: int) -> str:
    """Return what names a run among all others."""
    return f"{pid}.{run}"


def write_answer(answer: Answer) -> bytes:
    """Return the line for ``answer``."""
    return msgspec.json.encode(answer) + b"\n"


def read_answers(path: Path) -> Iterator[Answer]:
    """Yield the answers in an asker's file; a last line that is cut off is none."""
    with path.open("rb") as file:
        for line in file:
            if line.endswith(b"\n"):
                yield msgspec.json.decode(line, type=Answer)


def read_runs(path: Path) -> Iterator[Run]:
    """Yield the runs in one worker process's ledger."""
    pid = pid_of(path)
    open_runs: dict[int, Run] = {}
    with path.open() as file:
        for line in file:
            if not line.endswith("\n"):
                continue
            run, *fields = map(int, line.split())
            if len(fields) == 2:
                open_runs[run] = Run(fields[0], pid, run, fields[1] / 1e9, None)
            else:
                yield open_runs.pop(run)._replace(ended=fields[0] / 1e9)
    yield from open_runs.values()


def ledgers(place: Path) -> list[Path]:
    """Return the ledgers in ``place``: one for each process that has served."""
    return sorted(place.glob("*.ledger"))


def pid_of(ledger: Path) -> int:
    """Return whose ledger it is."""
    return int(ledger.name.partition("-")[0])
