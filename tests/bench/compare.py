"""An echo directly, through ``zmq.proxy``, and through our broker, side by side.

The same two Python processes' worth of workers stand behind each. The speed of a machine
drifts between minutes, so the ways take turns, and what is reported is the median of each
round's ratio to ``zmq.proxy``. ``make bench`` runs it; ``--rounds`` and ``--seconds`` say how
long.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

import zmq
from rich.console import Console
from rich.table import Table

REQUEST = json.dumps({"method": "system.echo", "data": "x" * 110}).encode()
WINDOW = 64
#: Measures one way at an endpoint for so many seconds.
Measure = Callable[[str, float], float]
#: A child of ours: ``python compare.py ROLE ENDPOINT...``
ROLES = ("proxy", "bound-echo", "echo")


def sequential_p50(endpoint: str, seconds: float) -> float:
    """Return the median round trip of one REQ socket, in microseconds."""
    times: list[float] = []
    with zmq.Context() as context, context.socket(zmq.REQ) as asking:
        asking.linger = 0
        asking.connect(endpoint)
        end = time.perf_counter() + seconds
        while (start := time.perf_counter()) < end:
            asking.send(REQUEST)
            asking.recv()
            times.append(time.perf_counter() - start)
    return statistics.median(times) * 1e6


def windowed_rate(endpoint: str, seconds: float) -> float:
    """Return requests per second of one DEALER with ``WINDOW`` of them under way."""
    done = 0
    with zmq.Context() as context, context.socket(zmq.DEALER) as asking:
        asking.linger = 0
        asking.connect(endpoint)
        start = time.perf_counter()
        for _ in range(WINDOW):
            asking.send_multipart([b"", REQUEST])
        while time.perf_counter() - start < seconds:
            asking.recv_multipart()
            asking.send_multipart([b"", REQUEST])
            done += 1
        spent = time.perf_counter() - start
        for _ in range(WINDOW):
            asking.recv_multipart()
    return done / spent


MEASURES: dict[str, tuple[Measure, str]] = {
    "one REQ, p50": (sequential_p50, "us"),
    f"{WINDOW} under way": (windowed_rate, "/s"),
}


def compare(rounds: int, seconds: float) -> None:
    """Measure each way in turn, ``rounds`` times, and print a table."""
    with contextlib.ExitStack() as stack:
        ways = {
            "zmq.proxy": stack.enter_context(_proxy()),
            "direct": stack.enter_context(_direct()),
            "vpoller": stack.enter_context(_vpoller()),
        }
        for endpoint in ways.values():
            _warm_up(endpoint)
        results: dict[tuple[str, str], list[float]] = {}
        for _ in range(rounds):
            for measure, (function, _unit) in MEASURES.items():
                for way, endpoint in ways.items():
                    results.setdefault((measure, way), []).append(function(endpoint, seconds))
    _print(results)


def _print(results: dict[tuple[str, str], list[float]]) -> None:
    table = Table("measure", "way", box=None, pad_edge=False)
    for heading in ("median", "x zmq.proxy", "from", "to"):
        table.add_column(heading, justify="right")
    for (measure, way), values in results.items():
        base = results[measure, "zmq.proxy"]
        ratios = [value / other for value, other in zip(values, base, strict=True)]
        spread = (statistics.median(ratios), min(ratios), max(ratios))
        median = f"{statistics.median(values):.0f} {MEASURES[measure][1]}"
        table.add_row(measure, way, median, *(f"{ratio:.2f}" for ratio in spread))
    Console().print(table)


def _warm_up(endpoint: str) -> None:
    """Wait until ``endpoint`` answers without an error."""
    with zmq.Context() as context, context.socket(zmq.REQ) as asking:
        asking.linger = 0
        asking.rcvtimeo = 20_000
        asking.connect(endpoint)
        asking.send(REQUEST)
        if json.loads(asking.recv()).get("success", 0) != 0:
            raise RuntimeError(f"{endpoint} does not echo")


@contextlib.contextmanager
def _proxy() -> Iterator[str]:
    front, back = _free_endpoints(2)
    with _running(
        [_own("proxy", front, back), _own("echo", back), _own("echo", back)],
    ):
        yield front


@contextlib.contextmanager
def _direct() -> Iterator[str]:
    (front,) = _free_endpoints(1)
    with _running([_own("bound-echo", front)]):
        yield front


@contextlib.contextmanager
def _vpoller() -> Iterator[str]:
    front, back, plain, admin = _free_endpoints(4)
    program = [sys.executable, "-m", "vpoller_like.cli"]
    doors = ["--frontend", front, "--backend", back, "--plain", plain, "--admin", admin]
    workers = ["--backend", back, "--agents", "system", "--processes", "2", "--threads", "1"]
    with _running([[*program, "worker", "run", *workers], [*program, "broker", "run", *doors]]):
        yield front


@contextlib.contextmanager
def _running(commands: Sequence[Sequence[str]]) -> Iterator[None]:
    children = [
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        for command in commands
    ]
    try:
        yield
    finally:
        for child in children:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()


def _own(role: str, *endpoints: str) -> list[str]:
    return [sys.executable, __file__, role, *endpoints]


def _free_endpoints(count: int) -> list[str]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    names = [f"tcp://127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return names


def _play(role: str, endpoints: Sequence[str]) -> None:
    """Be one of the processes compared with, until SIGTERM."""
    context = zmq.Context()
    if role == "proxy":
        front, back = context.socket(zmq.ROUTER), context.socket(zmq.DEALER)
        front.bind(endpoints[0])
        back.bind(endpoints[1])
        zmq.proxy(front, back)
        return
    echo = context.socket(zmq.REP)
    (echo.bind if role == "bound-echo" else echo.connect)(endpoints[0])
    while True:
        data = json.loads(echo.recv())["data"]
        echo.send(json.dumps({"success": 0, "msg": "", "result": data}).encode())


def main() -> None:
    """Compare; or, for a child, play a role."""
    if sys.argv[1:2] and sys.argv[1] in ROLES:
        _play(sys.argv[1], sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=1.0, help="for each measurement")
    options = parser.parse_args()
    compare(options.rounds, options.seconds)


if __name__ == "__main__":
    main()
