"""Crowds of peers around one broker, and what the broker takes of memory and time for them."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import psutil

from tests.bench.schedstat import cpu_ns
from tests.bench.ways import ROLES, processes
from tests.support.fabric import Fabric, eventually, free_endpoints

PROGRAM = Path(__file__).with_name("crowd.py")
#: Seconds after which a process has done what it does because of what just happened.
SETTLING = 1.5


class Crowd:
    """One process of ``crowd.py``; made once it says that it is ready."""

    def __init__(self, *words: object) -> None:
        self._child = subprocess.Popen(
            [sys.executable, str(PROGRAM), *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        #: What it said before it was ready.
        self.said: list[str] = []
        while (line := self._line()) != "ready":
            self.said.append(line)

    def _line(self) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            self.close()
            raise ChildProcessError(f"{' '.join(map(str, self._child.args[2:]))} has failed")  # type: ignore[index]
        return line.strip()

    def ask(self, seconds: float) -> int:
        """Let a load ask for so long; return how many answers it had."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{seconds}\n")
        self._child.stdin.flush()
        return int(self._line())

    def close(self) -> None:
        """End it."""
        self._child.kill()
        self._child.communicate()

    def __enter__(self) -> Crowd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Broker(NamedTuple):
    """A process that connections are made to."""

    name: str
    pid: int
    frontend: str
    backend: str
    #: The fabric that it belongs to, if it is ours.
    fabric: Fabric | None = None

    def memory(self) -> int:
        """Return the bytes that it has in memory."""
        return int(psutil.Process(self.pid).memory_info().rss)

    def idle(self, seconds: float) -> float:
        """Return which share of one core it takes while nobody asks."""
        before, began = cpu_ns([self.pid]), time.monotonic()
        time.sleep(seconds)
        return (cpu_ns([self.pid]) - before) / 1e9 / (time.monotonic() - began)


@contextlib.contextmanager
def ours(**settings: object) -> Iterator[Broker]:
    """A broker of ours with these settings."""
    with Fabric(broker=settings) as fabric:
        # A broken run's log is a line for each of a thousand workers.
        fabric.logs = lambda: ""  # type: ignore[method-assign]
        try:
            yield Broker("ours", fabric.broker_pid, fabric.frontend, fabric.backend, fabric)
        finally:
            # It is not to drain: a hundred thousand requests may wait there for good.
            fabric.kill_broker()


@contextlib.contextmanager
def proxy() -> Iterator[Broker]:
    """``zmq.proxy``."""
    front, back = free_endpoints(2)
    with processes([[sys.executable, str(ROLES), "proxy", front, back]]) as (pid,):
        eventually(lambda: _listens(pid, 2), "zmq.proxy listens")
        yield Broker("zmq.proxy", pid, front, back)


def _listens(pid: int, count: int) -> bool:
    found = psutil.Process(pid).net_connections("tcp")
    return sum(one.status == psutil.CONN_LISTEN for one in found) >= count


def raise_file_limit() -> int:
    """Allow this process and its children as many files as they may have; return how many."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
