"""Other languages' tools, and programs built with them, kept in ``.build``.

Each is made once, by whichever test comes first. What cannot be made here is a reason to
skip, and in CI to fail.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.tools import missing, require_tool

ROOT = Path(__file__).resolve().parents[2]
CACHE = ROOT / ".build"
#: Its package holds built binaries: nothing is compiled or downloaded beyond npm's registry.
NODE_ZEROMQ = "zeromq@6.8.0"
ORIGINAL = "vpoller==0.7.3"
#: Seconds for an installation from a slow registry; a test has 120 s in all.
LONG = 100.0


def ruby() -> str:
    """Return Ruby, with ffi-rzmq."""
    program = require_tool("ruby", "ruby")
    if subprocess.run([program, "-e", "require 'ffi-rzmq'"], capture_output=True).returncode:
        missing("Ruby has no ffi-rzmq here: install Debian's ruby-ffi-rzmq")
    return program


def node() -> tuple[str, dict[str, str]]:
    """Return Node and the environment in which it finds its zeromq."""
    program = require_tool("node", "nodejs")
    place = CACHE / "node" / NODE_ZEROMQ
    with _once(place) as is_new:
        if is_new:
            npm = require_tool("npm", "npm")
            # Install scripts would only look for a compiler that is not needed.
            options = ["--ignore-scripts", "--no-audit", "--no-fund", "--no-save"]
            _install([npm, "install", "--prefix", str(place), *options, NODE_ZEROMQ])
    return program, {**os.environ, "NODE_PATH": str(place / "node_modules")}


def compiled(source: Path) -> str:
    """Return the program that ``source``, in C, makes with libzmq."""
    compiler = require_tool("cc", "gcc")
    if not _has_zmq_header(compiler):
        missing("zmq.h is not here: install Debian's libzmq3-dev")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    place = CACHE / "c" / f"{source.stem}-{digest}"
    with _once(place) as is_new:
        if is_new:
            command = [compiler, "-Wall", "-Wextra", "-Werror", "-O1", "-o", str(place / "program")]
            subprocess.run([*command, str(source), "-lzmq"], check=True)
    return str(place / "program")


def shared_library(source: Path) -> str:
    """Return the shared library that ``source``, in C, makes without any other."""
    compiler = require_tool("cc", "gcc")
    digest = hashlib.sha256(source.read_bytes()).hexdigest()[:16]
    place = CACHE / "c" / f"{source.stem}-{digest}"
    with _once(place) as is_new:
        if is_new:
            options = ["-Wall", "-Wextra", "-Werror", "-O1", "-g", "-shared", "-fPIC"]
            command = [compiler, *options, "-o", str(place / "library.so"), str(source)]
            subprocess.run(command, check=True)
    return str(place / "library.so")


def original_client() -> Path:
    """Return the directory with the original vPoller's programs and its own ``python``."""
    place = CACHE / ORIGINAL
    with _once(place) as is_new:
        if is_new:
            venv = [str(ROOT / "etc" / "make-venv"), sys.executable, str(place / "venv")]
            _install([*venv, "--no-deps", ORIGINAL, "pyzmq", "docopt"])
    return place / "venv" / "bin"


def original_worker() -> Path:
    """Return the directory with the original vPoller's programs, its worker among them.

    That one has the two lines mended without which no Python 3.11 starts it.
    """
    # Here: what the benchmarks need is not for every test.
    from tests.bench.original import NotInstalled, installed

    try:
        return installed()
    except NotInstalled as error:
        missing(str(error))


def _has_zmq_header(compiler: str) -> bool:
    command = [compiler, "-E", "-include", "zmq.h", "-x", "c", os.devnull]
    return subprocess.run(command, capture_output=True).returncode == 0


def _install(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LONG)
    except subprocess.TimeoutExpired:
        missing(f"{command[-1]} could not be installed within {LONG:g} s")
    if done.returncode:
        missing(f"{command[-1]} cannot be installed here: {done.stderr.strip()[-400:]}")


@contextmanager
def _once(place: Path) -> Iterator[bool]:
    """Make the directory ``place``; yield whether it is still to be filled.

    Other processes wait meanwhile. A stamp is written last, so that what broke half-way is
    begun again.
    """
    place.mkdir(parents=True, exist_ok=True)
    stamp = place / ".ready"
    with open(place.parent / f"{place.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        is_new = not stamp.exists()
        yield is_new
        if is_new:
            stamp.touch()
