"""Where the broker's time goes under a load.

::

    python tests/bench/profile_broker.py
    python tests/bench/profile_broker.py --row "python DEALER 64 150B meta" --transport pure

Says how much CPU each of the broker's threads needs per request, and how the main one spends
it: sampled by py-spy where that is installed, counted by cProfile (which slows the broker
down, and makes small functions look dear) where it is not. ``--with perf`` looks below Python.
"""

from __future__ import annotations

import argparse
import contextlib
import pstats
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path[0] = str(ROOT)

from tests.bench import ways  # noqa: E402
from tests.bench.compiling import programs  # noqa: E402
from tests.bench.measuring import measure  # noqa: E402
from tests.bench.report import rst_table  # noqa: E402
from tests.bench.rows import Row, chosen  # noqa: E402
from tests.bench.schedstat import threads_ns  # noqa: E402
from tests.bench.ways import OURS, Way  # noqa: E402

TOOLS = ("py-spy", "perf", "cprofile")
ROWS = ("c DEALER 1000 150B bare", "python DEALER 64 150B meta")
#: Samples per second: more would cost the broker itself.
SAMPLES = 400
SHOWN = 20


class Thread(NamedTuple):
    """What one of the broker's threads had."""

    name: str
    us_per_request: float
    share_of_core: float


class Place(NamedTuple):
    """How often a function was found at work: itself, and with what it called."""

    function: str
    itself: float
    below: float


class Profile(NamedTuple):
    """What was found for one row."""

    row: Row
    way: str
    rate: float
    threads: list[Thread]
    #: By py-spy; else there is what another tool has said.
    places: list[Place]
    text: str = ""


def main() -> None:
    """Profile, and print or write."""
    options = _options()
    tool = options.tool or ("py-spy" if shutil.which("py-spy", path=_path()) else "cprofile")
    profiles = [_profile(name, options, tool) for name in options.row or ROWS]
    if options.output:
        options.output.write_text("\n".join(_rst(profiles)) + "\n")
        return
    for profile in profiles:
        _print(profile)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--row", action="append", help="one of run.py's, by its words")
    parser.add_argument("--transport", choices=("c", "pure"), help="the one in C, if it is there")
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--with", dest="tool", choices=TOOLS, help="what measures")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write reStructuredText")
    return parser.parse_args()


def _path() -> str:
    return f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin"


def _profile(words: str, options: argparse.Namespace, tool: str) -> Profile:
    rows = chosen(words)
    if not rows:
        sys.exit(f"there is no row {words!r}")
    seconds = options.seconds
    with tempfile.TemporaryDirectory(prefix="profile-") as place:
        output = Path(place) / "profile"
        with _broker(rows[0], options.transport, tool, output) as way:
            rate, threads = _threads(way, rows[0], seconds)
            if tool != "cprofile":
                _watch(tool, way, rows[0], seconds, output)
        if tool == "py-spy":
            places = _places(_samples(output.read_text()))
            return Profile(rows[0], way.name, rate, threads, places)
        return Profile(rows[0], way.name, rate, threads, [], _said(tool, output))


def _broker(
    row: Row, transport: str | None, tool: str, output: Path
) -> contextlib.AbstractContextManager[Way]:
    there = ways.transports(transport or "both")
    if not there:
        sys.exit(f"the transport {transport} is not here")
    transport, env = next(iter(there.items()))
    program = ("-m", "cProfile", "-o", str(output), "-m", "vpoller_like.cli")
    return ways.ours(
        OURS[transport], row.workers, programs(), env, program if tool == "cprofile" else ()
    )


def _threads(way: Way, row: Row, seconds: float) -> tuple[float, list[Thread]]:
    (pid,) = way.broker_pids
    before = threads_ns(pid)
    sample = measure(programs().load, way, row, seconds)
    spent = {name: ns - before.get(name, 0) for name, ns in threads_ns(pid).items()}
    whole = sum(spent.values()) or 1
    found = [
        Thread(name, sample.broker_cpu * ns / whole, ns / seconds / 1e9)
        for (_, name), ns in spent.items()
        if ns > whole / 100
    ]
    return sample.rate, sorted(found, key=lambda thread: -thread.us_per_request)


def _watch(tool: str, way: Way, row: Row, seconds: float, output: Path) -> None:
    (pid,) = way.broker_pids
    if tool == "perf":
        command = ["perf", "record", "-q", "-g", "-F", "999", "-p", str(pid), "-o", str(output)]
        command += ["--", "sleep", str(seconds)]
    else:
        spy = shutil.which("py-spy", path=_path()) or "py-spy"
        command = [spy, "record", "-p", str(pid), "-d", str(round(seconds)), "-r", str(SAMPLES)]
        command += ["-f", "raw", "-F", "-o", str(output)]
    watcher = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    measure(programs().load, way, row, seconds + 1)
    _, said = watcher.communicate()
    if watcher.returncode:
        sys.exit(said.decode())


def _said(tool: str, output: Path) -> str:
    if tool == "cprofile":
        with tempfile.TemporaryFile("w+") as text:
            pstats.Stats(str(output), stream=text).sort_stats("tottime").print_stats(SHOWN)
            text.seek(0)
            return text.read()
    command = ["perf", "report", "-i", str(output), "--stdio", "--no-children", "-g", "none"]
    done = subprocess.run(command, capture_output=True, text=True)
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return "\n".join(lines[:SHOWN])


def _samples(text: str) -> Iterator[tuple[list[str], int]]:
    """Yield each stack, outermost frame first, and how often it was seen."""
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        yield stack.split(";"), int(count)


def _places(samples: Iterable[tuple[list[str], int]]) -> list[Place]:
    own: Counter[str] = Counter()
    below: Counter[str] = Counter()
    for stack, count in samples:
        own[stack[-1]] += count
        below.update(dict.fromkeys(stack, count))
    whole = own.total() or 1
    return [
        Place(function, count / whole, below[function] / whole)
        for function, count in own.most_common(SHOWN)
    ]


def _print(profile: Profile) -> None:
    print(f"{profile.row.name}, {profile.way}: {profile.rate:,.0f} requests/s")
    for thread in profile.threads:
        name, cost, share = thread
        print(f"  {name:16} {cost:5.2f} us per request, {share:3.0%} of a core")
    print(profile.text)
    for place in profile.places:
        print(f"  {place.itself:6.1%} {place.below:6.1%}  {place.function}")


def _rst(profiles: Iterable[Profile]) -> Iterator[str]:
    for profile in profiles:
        title = f"{profile.row.name}, {profile.way}: {profile.rate:,.0f} requests per second"
        threads = [
            [thread.name, f"{thread.us_per_request:.2f}", f"{thread.share_of_core:.0%}"]
            for thread in profile.threads
        ]
        yield from rst_table(title, ["Thread", "us per request", "of a core"], threads)
        yield ""
        places = [
            [f"``{place.function}``", f"{place.itself:.1%}", f"{place.below:.1%}"]
            for place in profile.places
        ]
        yield from rst_table("Its main thread", ["Function", "Itself", "And below"], places)
        yield ""


if __name__ == "__main__":
    main()
