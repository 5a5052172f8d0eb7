"""What ``vpoller call`` spends before its request is sent, beside what its libraries take.

::

    python tests/bench/startup.py --rounds 20 --output docs/performance

User and system time together, of all threads, from the process's start until the request
arrives at a socket of this program's; the ways take turns. It cannot be less than what
``python -c 'import zmq, click, msgspec'`` takes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import zmq
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from tests.bench.compiling import CACHE  # noqa: E402
from tests.bench.machine import facts  # noqa: E402
from tests.bench.schedstat import cpu_ns  # noqa: E402

PATIENCE_MS = 20_000
#: Milliseconds before the request is sent.
WANTED = 100.0
CALL = "vpoller call"
LIBRARIES = "zmq, click, msgspec"
NOTHING = "python"
#: What the installed ``vpoller`` is.
_PROGRAM = "import sys; from vpoller_like.cli.start import main; sys.exit(main())"
_SPENT = "import time; print(time.process_time_ns())"
#: By way: the milliseconds of each round.
Found = Mapping[str, list[float]]


class Listener:
    """A socket that requests arrive at, and that answers none."""

    def __init__(self) -> None:
        self._socket = zmq.Context.instance().socket(zmq.ROUTER)
        self._socket.linger = 0
        port = self._socket.bind_to_random_port("tcp://127.0.0.1")
        self.endpoint = f"tcp://127.0.0.1:{port}"

    def wait(self) -> None:
        """Return when the next request is here; raise ``TimeoutError``."""
        if not self._socket.poll(PATIENCE_MS):
            raise TimeoutError("the program has sent nothing")
        self._socket.recv_multipart()


def environment() -> dict[str, str]:
    """Return an environment in which modules are compiled once, as installed ones are."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VPOLLER_"))}
    nowhere = str(CACHE / "nothing")
    return env | {
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": str(CACHE / "pycache"),
        "XDG_CONFIG_HOME": nowhere,
    }


def until_sent(listener: Listener) -> float:
    """Return the milliseconds that one ``vpoller call`` has spent when its request is here."""
    words = ["call", "system.status", "--endpoint", listener.endpoint, "--no-stdin"]
    child = subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, *words],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        listener.wait()
        return cpu_ns([child.pid]) / 1e6
    finally:
        child.kill()
        child.wait()


def bare(code: str) -> float:
    """Return the milliseconds that Python takes to run ``code``."""
    command = [sys.executable, "-c", f"{code}; {_SPENT}"]
    done = subprocess.run(command, env=environment(), capture_output=True, check=True)
    return int(done.stdout) / 1e6


def measure(rounds: int) -> Found:
    """Measure each way ``rounds`` times, in turn."""
    listener = Listener()
    ways: dict[str, Callable[[], float]] = {
        CALL: lambda: until_sent(listener),
        LIBRARIES: lambda: bare("import zmq, click, msgspec"),
        NOTHING: lambda: bare("pass"),
    }
    found: dict[str, list[float]] = {way: [] for way in ways}
    for way in ways.values():
        way()  # everything is compiled, and in the page cache
    for _ in range(rounds):
        for name, way in ways.items():
            found[name].append(way())
    return found


def ratio(found: Found) -> float:
    """Return what a call takes as a multiple of what its libraries take in the same round."""
    pairs = zip(found[CALL], found[LIBRARIES], strict=True)
    return statistics.median(call / libraries for call, libraries in pairs)


def rows(found: Found) -> list[tuple[str, str, str]]:
    """Return each way with its median and least milliseconds."""
    return [(way, f"{statistics.median(ms):.1f}", f"{min(ms):.1f}") for way, ms in found.items()]


def show(found: Found) -> None:
    """Print what was found."""
    table = Table("until sent", box=None, pad_edge=False)
    for heading in ("median ms", "least ms"):
        table.add_column(heading, justify="right")
    for row in rows(found):
        table.add_row(*row)
    console = Console()
    console.print(table)
    console.print(f"{ratio(found):.2f} times its libraries; {_verdict(found)}")


def _verdict(found: Found) -> str:
    # The least: what a process takes beyond it, it takes for its neighbours' sake.
    least = min(found[CALL])
    return f"{least:.0f} ms, {'under' if least < WANTED else 'NOT under'} {WANTED:.0f}"


def write(found: Found, path: Path) -> None:
    """Write what the documentation includes."""
    lines = ["..", "   Written by ``make bench``.", ""]
    lines += [f":{name}: {value}" for name, value in facts().items()]
    lines += ["", ".. csv-table:: CPU before the request is sent", "   :header-rows: 1", ""]
    lines += ['   "", "median ms", "least ms"']
    lines += [f'   "{way}", {median}, {least}' for way, median, least in rows(found)]
    lines += ["", f"A call takes {ratio(found):.2f} times what its libraries take."]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--output", type=Path, metavar="DIR", help="write startup.rst there")
    options = parser.parse_args()
    found = measure(options.rounds)
    show(found)
    if options.output:
        write(found, options.output / "startup.rst")


if __name__ == "__main__":
    main()
