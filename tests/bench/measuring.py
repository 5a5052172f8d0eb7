"""One measurement: one load on one way for so many seconds."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import msgspec

from tests.bench import original
from tests.bench.rows import Load, Row
from tests.bench.schedstat import cpu_ns
from tests.bench.ways import PURE, ROOT, Way

PYLOAD = Path(__file__).with_name("pyload.py")
CLIENT_CALLS = Path(__file__).with_name("client_calls.py")


class Failed(Exception):
    """An answer was wrong, or there was none: the whole run is worth nothing."""


class LoadReport(msgspec.Struct):
    """What a load prints at its end."""

    seconds: float
    timely: int
    answers: int
    p50_us: float
    p99_us: float
    cpu_us: float


class Sample(NamedTuple):
    """What one measurement gives. Times are microseconds; CPU is per request."""

    rate: float
    p50: float
    p99: float
    broker_cpu: float
    worker_cpu: float
    load_cpu: float

    @property
    def load_share(self) -> float:
        """Return how much of one core the load has had: near 1, it was itself the limit."""
        return self.rate * self.load_cpu / 1e6


def measure(load: Path | None, way: Way, row: Row, seconds: float) -> Sample:
    """Return what ``row``'s load finds on ``way``; ``load`` is the one in C, if it is there.

    Raises ``Failed``.
    """
    child = subprocess.Popen(
        command_of(load, way, row, seconds),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), **({PURE: "1"} if way.is_pure else {})},
    )
    with child:
        try:
            line, before, after = _conversation(child, way)
        except (OSError, EOFError) as error:
            raise _failed(child, way, row, error) from error
    return _sample(msgspec.json.decode(line, type=LoadReport), before, after)


def _conversation(
    child: subprocess.Popen[str], way: Way
) -> tuple[str, tuple[int, int], tuple[int, int]]:
    """Return what the load reports, and the CPU that the way had had before and after."""
    assert child.stdin is not None
    assert child.stdout is not None
    if child.stdout.readline() != "ready\n":
        raise EOFError
    before = _cpu(way)
    child.stdin.write("go\n")
    child.stdin.flush()
    line = child.stdout.readline()
    after = _cpu(way)
    if not line:
        raise EOFError
    return line, before, after


def command_of(program: Path | None, way: Way, row: Row, seconds: float) -> list[str]:
    """Return the load's command."""
    load = _possible(row.load, way)
    template = way.meta if row.meta else way.bare
    if load.kind in ("run", "map"):
        words = [load.kind, str(load.window), str(seconds), str(row.payload), template]
        return [*_client(way), way.endpoint, *words]
    numbers = (load.clients, load.window, load.batch, seconds, row.payload)
    start = [str(program)] if program and not load.in_python else [sys.executable, str(PYLOAD)]
    return [*start, way.endpoint, load.kind, *map(str, numbers), template]


def _possible(load: Load, way: Way) -> Load:
    """Return ``load``, or what comes nearest to it where nobody reads batches."""
    if way.is_ours:
        return load
    if load.kind == "map":
        return Load("dealer", window=load.window, in_python=True)
    return load._replace(batch=1)


def _client(way: Way) -> list[str]:
    if way.name == original.NAME:
        return [str(original.VENV / "bin" / "python"), str(CLIENT_CALLS), "vpoller.client"]
    return [sys.executable, str(CLIENT_CALLS), "vpoller_like.client"]


def _cpu(way: Way) -> tuple[int, int]:
    return cpu_ns(way.broker_pids), cpu_ns(way.worker_pids)


def _sample(report: LoadReport, before: tuple[int, int], after: tuple[int, int]) -> Sample:
    broker, worker = ((b - a) / 1e3 / report.answers for a, b in zip(before, after, strict=True))
    rate = report.timely / report.seconds
    own = report.cpu_us / report.answers
    return Sample(rate, report.p50_us, report.p99_us, broker, worker, own)


def _failed(child: subprocess.Popen[str], way: Way, row: Row, error: Exception) -> Failed:
    assert child.stderr is not None
    child.kill()
    said = child.stderr.read().strip() or str(error)
    return Failed(f"{way.name}: {row.name}: {said}")
