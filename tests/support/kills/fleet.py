"""The processes that the kill loop strikes at: brokers, supervisors and their workers."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import msgspec

from tests.support.fabric import ROOT, Fabric, Running
from tests.support.kills.asker import Settings as AskerSettings
from tests.support.kills.entries import ledgers, pid_of

AGENTS = Path(__file__).resolve().parent / "agents"
#: Room for the replies of a minute at a high rate: what is forgotten for want of room is
#: not what this is about.
BROKER = {"remember_bytes": 1 << 28}


class Fleet:
    """``brokers`` brokers; ``supervisors`` supervisors of ``processes`` with ``threads`` each.

    Leaving :func:`running` ends everything.
    """

    def __init__(
        self, fabrics: Sequence[Fabric], place: Path, supervisors: int, processes: int, threads: int
    ) -> None:
        self.place = place
        self.slots = threads
        self._fabrics = fabrics
        self._processes = processes
        #: How many worker processes there are when none is down.
        self.workers = supervisors * processes
        self._supervisors = [self._start_supervisor(wait=True) for _ in range(supervisors)]

    @property
    def frontends(self) -> list[str]:
        """Return where clients ask."""
        return [fabric.frontend for fabric in self._fabrics]

    # Workers ---------------------------------------------------------------------------

    def _start_supervisor(self, wait: bool) -> Running:
        return self._fabrics[0].start_worker(
            self._processes,
            self.slots,
            agents="ledger",
            backends=[fabric.backend for fabric in self._fabrics],
            wait=wait,
        )

    def serving(self) -> list[int]:
        """Return the process ids of the workers that have come up and live."""
        up = {pid_of(path) for path in ledgers(self.place)}
        return [pid for running in self._supervisors for pid in _children(running.pid) if pid in up]

    def replace_supervisor(self, index: int) -> list[int]:
        """Kill a supervisor and start another one; return what were its processes."""
        index %= len(self._supervisors)
        orphans = _children(self._supervisors[index].pid)
        self._supervisors[index].kill()
        self._supervisors[index] = self._start_supervisor(wait=False)
        return orphans

    # Brokers ---------------------------------------------------------------------------

    def kill_broker(self, index: int) -> None:
        """Kill a broker and wait until it is gone."""
        self._fabrics[index % len(self._fabrics)].kill_broker()

    def revive_broker(self, index: int) -> None:
        """Start a broker's successor; it need not be ready when this returns."""
        self._fabrics[index % len(self._fabrics)].launch_broker()

    # What was not our doing ------------------------------------------------------------

    def fallen(self, struck: Container[int]) -> list[str]:
        """Return the processes that have ended by themselves; ``struck`` are those that did not."""
        running = [*self._supervisors, *(fabric.broker for fabric in self._fabrics)]
        fallen = [f"{each.name} {each.pid}" for each in running if each.exit_code is not None]
        ended = (pid for pid in map(pid_of, ledgers(self.place)) if not _lives(pid))
        return fallen + [f"worker process {pid}" for pid in ended if pid not in struck]

    def hasten(self) -> None:
        """Let the brokers not wait for tasks that a planted fault has made them forget."""
        for fabric in self._fabrics:
            fabric.broker.send(signal.SIGTERM)

    # Askers ----------------------------------------------------------------------------

    @contextlib.contextmanager
    def asking(self, askers: Sequence[AskerSettings]) -> Iterator[list[subprocess.Popen[bytes]]]:
        """Run the asking processes; those that still ask when the block is left are ended."""
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for settings in askers:
                text = msgspec.json.encode(settings).decode()
                command = [sys.executable, "-m", "tests.support.kills.asker", text]
                processes.append(subprocess.Popen(command, env=self._fabrics[0].env, cwd=ROOT))
            yield processes
        finally:
            for process in processes:
                process.terminate()
            for process in processes:
                process.wait(10)

    def logs(self) -> str:
        """Return what all processes have said."""
        return "".join(fabric.logs() for fabric in self._fabrics)


@contextlib.contextmanager
def running(
    *,
    brokers: int,
    supervisors: int,
    processes: int,
    threads: int,
    broker_program: Sequence[str] = (),
) -> Iterator[Fleet]:
    """Start a fleet and end it."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kills-")))
        fabrics = [
            stack.enter_context(
                Fabric(
                    BROKER,
                    [AGENTS],
                    env={"KILLS_LEDGER": str(place)},
                    broker_program=broker_program,
                )
            )
            for _ in range(brokers)
        ]
        yield Fleet(fabrics, place, supervisors, processes, threads)


def _lives(pid: int) -> bool:
    return os.path.exists(f"/proc/{pid}")


def _children(pid: int) -> list[int]:
    """Return a process's children."""
    try:
        text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    except OSError:
        return []
    return [int(word) for word in text.split() if _lives(int(word))]
