"""The vSphere agent beside vPoller 0.7.3's own tasks, and beside a naive loop over pyVmomi.

::

    python tests/bench/vsphere.py --rounds 5 --output docs/performance

All ask one simulated vCenter the same; they take turns within each round, and their answers
must be the same. Calls are counted by the vCenter.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from tests.bench import original, vsphere_plot  # noqa: E402
from tests.bench.machine import facts  # noqa: E402
from tests.bench.plot import NoMatplotlib  # noqa: E402
from tests.support.vcsim import Simulator, agent_for, running  # noqa: E402

PROGRAM = Path(__file__).with_name("vsphere_ways.py")
OURS, NAIVE = "ours", "naive loop"
#: What the program calls them.
WORDS = {OURS: "ours", original.NAME: "vpoller", NAIVE: "naive"}
SIZES = (1000, 5000)
#: How many machines are asked for at once.
MANY = 100
FOUR = [
    "runtime.powerState",
    "summary.config.numCpu",
    "summary.config.memorySizeMB",
    "config.uuid",
]
COUNTERS = [
    "cpu.usage.percent.average",
    "cpu.usagemhz.megaHertz.average",
    "mem.usage.percent.average",
    "net.usage.kiloBytesPerSecond.average",
]


class Job(NamedTuple):
    """One thing to ask, in words of the program."""

    name: str
    do: str
    arguments: dict[str, Any]

    @property
    def line(self) -> str:
        """Return it as the program reads it."""
        return json.dumps({"do": self.do, "with": self.arguments})


class Sample(NamedTuple):
    """What one job took: milliseconds, and SOAP calls."""

    ms: float
    calls: int


#: By size, job and way, the samples of each round.
Found = dict[tuple[int, str, str], list[Sample]]


class Failed(Exception):
    """A way cannot do a job; the text says why."""


class Running:
    """One way, set up and logged in."""

    def __init__(self, name: str, python: Path, simulator: Simulator) -> None:
        self.name = name
        where = [simulator.host, str(simulator.port), simulator.user, simulator.password]
        self._child = subprocess.Popen(
            [str(python), str(PROGRAM), WORDS[name], *where],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=_environment(name),
        )
        if self._read() != "ready":
            raise Failed(f"{name} does not start")

    def do(self, job: Job) -> tuple[float, str]:
        """Return the milliseconds that ``job`` took, and its digest; raise ``Failed``."""
        assert self._child.stdin is not None
        self._child.stdin.write(f"{job.line}\n")
        self._child.stdin.flush()
        answer = json.loads(self._read() or '{"error": "it has ended"}')
        if "error" in answer:
            raise Failed(f"{self.name}, {job.name}: {answer['error']}")
        return answer["seconds"] * 1e3, answer["answer"]

    def close(self) -> None:
        """Log out and end it."""
        with contextlib.suppress(OSError):
            assert self._child.stdin is not None
            self._child.stdin.close()
        try:
            self._child.wait(15)
        finally:
            self._child.kill()
            self._child.wait()
            assert self._child.stdout is not None
            self._child.stdout.close()

    def _read(self) -> str:
        assert self._child.stdout is not None
        return self._child.stdout.readline().strip()


def _environment(name: str) -> dict[str, str]:
    env = {k: v for k, v in os.environ.items() if not k.startswith(("VPOLLER_", "PYTHON"))}
    return env | {"PYTHONPATH": str(ROOT)} if name == OURS else env


def pythons(failures: list[str]) -> dict[str, Path]:
    """Return each way's interpreter; a way that cannot be installed is left out and told."""
    own = Path(sys.executable)
    found = {OURS: own, NAIVE: own}
    try:
        found[original.NAME] = original.installed() / "python"
    except original.NotInstalled as error:
        failures.append(str(error))
    return found


@contextlib.contextmanager
def standing(simulator: Simulator, chosen: Mapping[str, Path]) -> Iterator[list[Running]]:
    """Set all ways up."""
    with contextlib.ExitStack() as stack:
        ways = []
        for name, python in chosen.items():
            ways.append(Running(name, python, simulator))
            stack.callback(ways[-1].close)
        yield ways


def jobs(simulator: Simulator) -> list[Job]:
    """Return what to ask of this vCenter."""
    agent = agent_for(simulator)
    names = sorted(row["name"] for row in agent.vm_discover({})["result"])
    url = agent.datastore_discover({})["result"][0]["info.url"]
    agent.disconnect()
    some = names[:: max(1, len(names) // MANY)][:MANY]
    return [
        Job("vm.discover", "discover", {"properties": []}),
        Job("vm.discover, 4 properties", "discover", {"properties": FOUR}),
        Job("vm.get", "get", {"name": some[len(some) // 2], "properties": FOUR}),
        Job("datastore.vm.get", "datastore_vms", {"url": url}),
        Job(f"vm.get, {MANY} names", "get_many", {"names": some, "properties": FOUR}),
        Job(f"perf, {MANY} x {len(COUNTERS)}", "perf", {"names": some, "counters": COUNTERS}),
    ]


def measure(
    sizes: Iterable[int], rounds: int, chosen: Mapping[str, Path], failures: list[str]
) -> Found:
    """Let all ways do all jobs ``rounds`` times, and once before, to warm up.

    What cannot be done is left out, and told in ``failures``. Raises ``Failed`` where
    answers differ.
    """
    found: Found = {}
    for size in sizes:
        with running(vms=size) as simulator, standing(simulator, chosen) as ways:
            todo = {way.name: jobs(simulator) for way in ways}
            for number in range(rounds + 1):
                print(f"{size} machines, round {number} of {rounds}", file=sys.stderr)
                turn = number % len(ways)
                order = ways[turn:] + ways[:turn]
                samples = _round(simulator, order, todo, failures)
                if number:
                    for (job, way), sample in samples.items():
                        found.setdefault((size, job, way), []).append(sample)
    return found


def _round(
    simulator: Simulator,
    ways: Sequence[Running],
    todo: dict[str, list[Job]],
    failures: list[str],
) -> dict[tuple[str, str], Sample]:
    samples: dict[tuple[str, str], Sample] = {}
    for job in list(todo[OURS]):
        answers = {}
        for way in ways:
            if job not in todo[way.name]:
                continue
            simulator.calls(again=True)
            try:
                ms, answers[way.name] = way.do(job)
            except Failed as error:
                failures.append(str(error))
                todo[way.name].remove(job)
                continue
            calls = simulator.calls()
            # Our agent follows the inventory meanwhile, whatever it is asked.
            calls.pop("WaitForUpdatesEx", None)
            samples[job.name, way.name] = Sample(ms, sum(calls.values()))
        if len(set(answers.values())) > 1:
            raise Failed(f"{job.name}: the answers differ: {answers}")
    return samples


# What comes of it ----------------------------------------------------------------------


class Line(NamedTuple):
    """One way's figures of one job: medians, and the ratio to ours with its ends."""

    size: int
    job: str
    way: str
    calls: int
    ms: float
    ratio: float
    least: float
    greatest: float


def lines(found: Found) -> list[Line]:
    """Return the figures, the ratios being medians of the rounds' own."""
    told = []
    for (size, job, way), samples in found.items():
        base = found.get((size, job, OURS), [])
        ratios = [one.ms / other.ms for one, other in zip(samples, base, strict=False)] or [0.0]
        told.append(
            Line(
                size,
                job,
                way,
                int(statistics.median(sample.calls for sample in samples)),
                statistics.median(sample.ms for sample in samples),
                statistics.median(ratios),
                min(ratios),
                max(ratios),
            )
        )
    return told


HEAD = ("", "ms", "calls", "vPoller ms", "x", "calls", "loop ms", "x", "calls")


def rows(told: Sequence[Line], size: int) -> Iterator[list[str]]:
    """Yield a row of the table for each job."""
    by_name = {(line.job, line.way): line for line in told if line.size == size}
    for job in dict.fromkeys(line.job for line in told):
        row = [job]
        for way in WORDS:
            line = by_name.get((job, way))
            row += _cells(line) if line else ["-"] * (2 if way == OURS else 3)
        yield row


def _cells(line: Line) -> list[str]:
    ratio = [] if line.way == OURS else [f"{line.ratio:.3g}"]
    return [f"{line.ms:,.1f}", *ratio, f"{line.calls:,}"]


def show(told: Sequence[Line], failures: Sequence[str]) -> None:
    """Print the tables."""
    console = Console(width=120)
    for size in sorted({line.size for line in told}):
        table = Table(*HEAD, title=f"{size:,} virtual machines", box=None, pad_edge=False)
        for row in rows(told, size):
            table.add_row(*row)
        console.print(table)
    for failure in failures:
        console.print(failure)


def write_rst(
    told: Sequence[Line], failures: Sequence[str], about: Mapping[str, str], path: Path
) -> None:
    """Write what the documentation includes."""
    text = ["..", "   Written by ``make bench-vsphere``.", ""]
    text += [f":{name}: {value}" for name, value in about.items()]
    for size in sorted({line.size for line in told}):
        text += ["", f".. csv-table:: {size:,} virtual machines", "   :header-rows: 1", ""]
        text += [
            "   " + ", ".join(f'"{cell}"' for cell in row) for row in (HEAD, *rows(told, size))
        ]
    if failures:
        text += ["", *(f"- {failure}" for failure in failures)]
    path.write_text("\n".join(text) + "\n")


def write_csv(told: Sequence[Line], path: Path) -> None:
    """Write all figures."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Line._fields)
        for line in told:
            writer.writerow([*line[:4], *(f"{value:.4g}" for value in line[4:])])


def write(
    told: Sequence[Line], failures: Sequence[str], more: Mapping[str, str], place: Path
) -> None:
    """Write table, figures and picture; ``more`` is told of the run besides the usual."""
    place.mkdir(parents=True, exist_ok=True)
    about = facts()
    about["Versions"] += f", pyVmomi {version('pyvmomi')}"
    about["Beside"] = ", ".join(original.PACKAGES).replace("==", " ")
    about.update(more)
    write_rst(told, failures, about, place / "vsphere.rst")
    write_csv(told, place / "vsphere.csv")
    try:
        vsphere_plot.draw(told, list(WORDS), about, place / "vsphere.png")
    except NoMatplotlib as error:
        print(error, file=sys.stderr)


def main() -> None:
    """Measure, and tell."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), metavar="MACHINES")
    parser.add_argument("--note", help="what else is to be known of this run")
    parser.add_argument("--output", type=Path, metavar="DIR", help="write vsphere.* there")
    options = parser.parse_args()
    failures: list[str] = []
    told = lines(measure(options.sizes, options.rounds, pythons(failures), failures))
    show(told, failures)
    if options.output:
        more = {"Rounds": str(options.rounds)}
        if options.note:
            more["Note"] = options.note
        write(told, failures, more, options.output)


if __name__ == "__main__":
    main()
