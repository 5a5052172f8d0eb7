"""Systems that run tasks, beside ours and beside ``zmq.proxy``.

::

    python tests/bench/peers.py
    python tests/bench/peers.py --only nats,celery --rounds 3

Each is installed into an environment of its own under ``.build`` and has two workers that
echo 112 bytes; all are up at once and take turns. Redis and NATS are servers that have to be
here (Debian's ``redis-server`` and ``nats-server``). What cannot be measured is named, with
the reason.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from tests.bench import peers_plot, ways  # noqa: E402
from tests.bench.compiling import CACHE  # noqa: E402
from tests.bench.machine import facts  # noqa: E402
from tests.bench.plot import NoMatplotlib  # noqa: E402

PROGRAM = Path(__file__).with_name("peer_programs.py")
BASE = ways.BASE
OURS, CLIENT = "ours, REQ and DEALER", "ours, VPollerClient"


class Peer(NamedTuple):
    """One system: its name, packages, the server that it needs, and the size of a burst."""

    name: str
    packages: tuple[str, ...]
    server: str = ""
    burst: int = 1000
    #: The versions of these are shown.
    shown: str = ""


PEERS = (
    Peer("nats", ("nats-py",), "nats-server", shown="nats-py"),
    Peer("celery", ("celery[redis]",), "redis-server", 400, "celery"),
    Peer("dramatiq", ("dramatiq[redis]",), "redis-server", 400, "dramatiq"),
    Peer("rq", ("rq",), "redis-server", 100, "rq"),
    Peer("dask", ("distributed", "dask"), burst=400, shown="distributed"),
    Peer("ipyparallel", ("ipyparallel",), burst=400, shown="ipyparallel"),
    Peer("parsl", ("parsl",), burst=400, shown="parsl"),
)


class Absent(Exception):
    """A peer cannot be measured here; the text says why."""


class Sample(NamedTuple):
    """One round: requests per second one after the other, their median trip, and in a burst."""

    sequential: float
    p50_us: float
    burst: float


#: By name: each round's sample.
Found = dict[str, list[Sample]]


class Running:
    """A peer's process."""

    def __init__(self, python: Path, name: str, place: str, burst: int, log: Path) -> None:
        self._burst = burst
        self._log = log
        with log.open("w") as errors:
            self._child = subprocess.Popen(
                [str(python), str(PROGRAM), name, place],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                env=_environment(python),
            )
        self._read_until_ready()

    def _read_until_ready(self) -> None:
        while self._line() != "ready":
            pass

    def _line(self) -> str:
        assert self._child.stdout is not None
        line = self._child.stdout.readline()
        if not line:
            said = self._log.read_text(errors="replace").strip().splitlines()
            raise Absent(said[-1] if said else "it ended and said nothing")
        return line.strip()

    def measure(self, seconds: float) -> Sample:
        """Take one sample; raise ``Absent`` where it breaks down."""
        one = self._told(f"seq {seconds}")
        return Sample(one["rate"], one["p50_us"], self._told(f"burst {self._burst}")["rate"])

    def _told(self, line: str) -> dict[str, float]:
        assert self._child.stdin is not None
        self._child.stdin.write(f"{line}\n")
        self._child.stdin.flush()
        answer: dict[str, float] = json.loads(self._line())
        return answer

    def close(self) -> None:
        """End it."""
        with contextlib.suppress(OSError):
            assert self._child.stdin is not None
            self._child.stdin.close()
        try:
            self._child.wait(15)
        except subprocess.TimeoutExpired:
            self._child.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._child.wait(5)
        self._child.kill()
        self._child.wait()


def _environment(python: Path) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("VPOLLER_", "PYTHON"))}
    if python == Path(sys.executable):
        env["PYTHONPATH"] = str(ROOT)
    return env | {"PATH": f"{python.parent}{os.pathsep}{env['PATH']}"}


def installed(peer: Peer) -> Path:
    """Return the Python that has ``peer``, installed first if need be; raise ``Absent``."""
    if peer.server and shutil.which(peer.server) is None:
        raise Absent(f"{peer.server} is not here: install Debian's {peer.server}")
    venv = CACHE / "peers" / peer.name
    stamp = venv / ".installed"
    if not stamp.exists():
        venv.parent.mkdir(parents=True, exist_ok=True)
        command = [str(ROOT / "etc" / "make-venv"), sys.executable, str(venv), *peer.packages]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise Absent(f"it cannot be installed: {done.stderr.strip()[-200:]}")
        stamp.touch()
    return venv / "bin" / "python"


def version(peer: Peer) -> str:
    """Return the version that is installed of ``peer``."""
    code = f"import importlib.metadata as m; print(m.version({peer.shown!r}))"
    python = CACHE / "peers" / peer.name / "bin" / "python"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True)
    return f"{peer.shown} {done.stdout.strip()}"


@contextlib.contextmanager
def standing(chosen: Sequence[Peer], absent: dict[str, str]) -> Iterator[dict[str, Running]]:
    """Set everything up; what cannot be is put into ``absent``, with the reason."""
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="peers-")))

        def start(python: Path, name: str, where: str, burst: int, shown: str) -> Running:
            running = Running(python, name, where, burst, place / f"{shown}.log")
            stack.callback(running.close)
            return running

        own = Path(sys.executable)
        proxy = stack.enter_context(ways.proxied("python", None))
        ours = stack.enter_context(ways.ours(OURS, "python", None, {}))
        found = {
            BASE: start(own, "raw", proxy.endpoint, 1000, "proxy"),
            OURS: start(own, "raw", ours.endpoint, 1000, "ours"),
            CLIENT: start(own, "vpoller_like", ours.endpoint, 1000, "client"),
        }
        for peer in chosen:
            where = place / peer.name
            where.mkdir()
            try:
                python = installed(peer)
                found[peer.name] = start(python, peer.name, str(where), peer.burst, peer.name)
            except Absent as error:
                absent[peer.name] = str(error)
        yield found


def measured(chosen: Sequence[Peer], rounds: int, seconds: float, absent: dict[str, str]) -> Found:
    """Let all take turns, ``rounds`` times; the first round is to warm up."""
    found: Found = {}
    with standing(chosen, absent) as everything:
        for number in range(rounds + 1):
            for name, running in list(everything.items()):
                try:
                    sample = running.measure(seconds)
                except Absent as error:
                    absent[name] = f"it broke down: {error}"
                    del everything[name]
                    continue
                if number:
                    found.setdefault(name, []).append(sample)
    return found


# What comes of it ----------------------------------------------------------------------

HEAD = ("", "one after the other, /s", "x", "p50 us", "x", "in bursts, /s", "x")


def medians(found: Found, name: str) -> dict[str, tuple[float, float]]:
    """Return, for each figure, its median and that of its ratios to ``zmq.proxy``."""
    rows = {}
    for field in Sample._fields:
        values = [getattr(sample, field) for sample in found[name]]
        base = [getattr(sample, field) for sample in found[BASE]]
        ratios = [one / other for one, other in zip(values, base, strict=False)]
        rows[field] = (statistics.median(values), statistics.median(ratios))
    return rows


def lines(found: Found) -> Iterator[list[str]]:
    """Yield a row for each system, the fastest in bursts first."""
    ordered = sorted(found, key=lambda name: -medians(found, name)["burst"][0])
    for name in ordered:
        cells = []
        for value, ratio in medians(found, name).values():
            cells += [f"{value:,.0f}", f"{ratio:.3g}"]
        yield [name, *cells]


def show(found: Found, absent: Mapping[str, str]) -> None:
    """Print the table, and what is not in it."""
    table = Table("", box=None, pad_edge=False)
    for heading in HEAD[1:]:
        table.add_column(heading, justify="right")
    for line in lines(found):
        table.add_row(*line)
    console = Console(width=120)
    console.print(table)
    for name, why in absent.items():
        console.print(f"{name} was not measured: {why}", markup=False)


def write(found: Found, absent: Mapping[str, str], place: Path) -> None:
    """Write what the documentation includes: ``peers.rst``, ``.csv`` and ``.png``."""
    place.mkdir(parents=True, exist_ok=True)
    where = facts()
    versions = ", ".join(version(peer) for peer in PEERS if peer.name in found)
    text = ["..", "   Written by ``make bench-peers``.", ""]
    text += [f":{name}: {value}" for name, value in where.items()]
    text += [f":Peers: {versions}", "", ".. csv-table:: Tasks", "   :header-rows: 1", ""]
    text += ["   " + ", ".join(f'"{cell}"' for cell in row) for row in (HEAD, *lines(found))]
    text += [
        line for name, why in absent.items() for line in ("", f"{name} was not measured: {why}")
    ]
    (place / "peers.rst").write_text("\n".join(text) + "\n")
    with (place / "peers.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([HEAD, *lines(found)])
    bars = {name: medians(found, name) for name in found}
    try:
        peers_plot.draw(bars, where, place / "peers.png")
    except NoMatplotlib as error:
        print(f"No picture is drawn: {error}.", file=sys.stderr)


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0, help="of asking one by one")
    parser.add_argument("--only", default="", metavar="NAME,NAME", help="some of the peers")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write tables and a picture")
    options = parser.parse_args()
    wanted = options.only.split(",") if options.only else [peer.name for peer in PEERS]
    chosen = [peer for peer in PEERS if peer.name in wanted]
    absent: dict[str, str] = {}
    found = measured(chosen, options.rounds, options.seconds, absent)
    show(found, absent)
    if options.output:
        write(found, absent, options.output)


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
