"""The original vPoller 0.7.3: its own proxy, its own worker, a trivial task in it.

It comes from PyPI into an environment of its own under ``.build``. Its worker does not start
on Python 3.11 until two lines are mended; nothing else is changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from tests.bench.compiling import CACHE, Programs
from tests.bench.rows import Workers
from tests.bench.ways import PROCESSES, Way, processes
from tests.support.fabric import ROOT, eventually, free_endpoints
from tests.support.req import Silence, ask

NAME = "vPoller 0.7.3"
PACKAGES = ("vpoller==0.7.3", "vconnector==0.6.0")
VENV = CACHE / "vpoller-0.7.3"
#: Seconds for an installation from a slow registry.
PATIENCE = 300.0
#: The agent that its worker wants to have, and that is never connected to.
AGENT = "bench.example.org"
BARE = f'{{"method":"system.echo","hostname":"{AGENT}","data":"@P"}}'
MENDED = {"'helpers': None,": "'helpers': '',", "'tasks': None,": "'tasks': '',"}
TASK = """
from vpoller.task.decorators import task

@task(name="system.echo", required=["hostname", "data"])
def echo(agent, msg):
    return {"success": 0, "msg": "Successfully echoed the data", "result": msg["data"]}
"""
SETTINGS = """
[proxy]
frontend = {front}
backend = {back}
mgmt = {proxy_mgmt}

[worker]
db = {place}/agents.db
proxy = {back}
mgmt = {worker_mgmt}
tasks = bench_task

[cache]
enabled = false
maxsize = 0
ttl = 3600
housekeeping = 480
"""


class NotInstalled(Exception):
    """It cannot be installed here; the text says why."""


def installed() -> Path:
    """Return the directory of its programs, installed first if need be.

    Raises ``NotInstalled``.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    stamp = VENV / ".mended"
    with open(CACHE / "vpoller.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists():
            _install()
            _mend()
            stamp.touch()
    return VENV / "bin"


def _install() -> None:
    command = [str(ROOT / "etc" / "make-venv"), sys.executable, str(VENV), *PACKAGES]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        raise NotInstalled(f"{PACKAGES[0]} was not installed within {PATIENCE:g} s") from None
    if done.returncode:
        raise NotInstalled(f"{PACKAGES[0]} cannot be installed: {done.stderr.strip()[-300:]}")


def _mend() -> None:
    (worker,) = VENV.glob("lib/python*/site-packages/vpoller/worker.py")
    text = worker.read_text()
    for broken, mended in MENDED.items():
        text = text.replace(broken, mended)
    worker.write_text(text)


@contextlib.contextmanager
def original(workers: Workers, programs: Programs | None) -> Iterator[Way]:
    """Its proxy, with two processes of its worker or two REP workers in C."""
    place = installed()
    front, back, *mgmt = free_endpoints(4)
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vpoller-")))
        config = _configure(directory, front, back, mgmt)
        env = {**os.environ, "PYTHONPATH": str(directory)}
        commands = [[str(place / "vpoller-proxy"), "-f", config, "start"]]
        commands += _workers(workers, programs, place, config, back)
        pids = stack.enter_context(processes(commands, env=env, quiet=True))
        eventually(lambda: _answers(front), "vPoller answers")
        proxy, *others = (_family(pid) for pid in pids)
        yield Way(NAME, workers, front, proxy, sum(others, ()), BARE, meta="", may_lose=True)


def _workers(
    workers: Workers, programs: Programs | None, place: Path, config: str, back: str
) -> list[list[str]]:
    if workers == "c":
        assert programs is not None
        return [[str(programs.rep), "connect", back]] * PROCESSES
    return [[str(place / "vpoller-worker"), "-c", str(PROCESSES), "-f", config, "start"]]


def _configure(directory: Path, front: str, back: str, mgmt: Sequence[str]) -> str:
    (directory / "bench_task.py").write_text(TASK)
    with contextlib.closing(sqlite3.connect(directory / "agents.db")) as database:
        database.execute("CREATE TABLE hosts (host TEXT UNIQUE, user TEXT, pwd TEXT, enabled INT)")
        database.execute("INSERT INTO hosts VALUES (?, 'nobody', 'nothing', 1)", (AGENT,))
        database.commit()
    config = directory / "vpoller.conf"
    proxy_mgmt, worker_mgmt = mgmt
    config.write_text(
        SETTINGS.format(
            front=front, back=back, proxy_mgmt=proxy_mgmt, worker_mgmt=worker_mgmt, place=directory
        )
    )
    return str(config)


def _answers(endpoint: str) -> bool:
    request = {"method": "system.echo", "hostname": AGENT, "data": "x"}
    try:
        return bool(ask(endpoint, request, timeout=1.0)["success"] == 0)
    except Silence:
        return False


def _family(pid: int) -> tuple[int, ...]:
    return (pid, *(child.pid for child in psutil.Process(pid).children(recursive=True)))
