"""The C programs of the suite, built where a compiler and libzmq's headers are."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
from pathlib import Path
from typing import NamedTuple

HERE = Path(__file__).resolve().parent
CACHE = HERE.parents[1] / ".build" / "bench"
SHARED = ("echo_check.c", "echo_check.h")
OPTIONS = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O2")


class Programs(NamedTuple):
    """Where the built programs are."""

    load: Path
    rep: Path
    worker: Path


class NoCompiler(Exception):
    """The programs cannot be built here; the text says what to install."""


def programs() -> Programs:
    """Return the programs, built if they are not there yet; raise ``NoCompiler``."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise NoCompiler("no C compiler is here: install gcc")
    if not _has_header(compiler):
        raise NoCompiler("zmq.h is not here: install libzmq3-dev")
    place = CACHE / f"c-{_digest()}"
    place.mkdir(parents=True, exist_ok=True)
    return Programs(*(_built(compiler, name, place) for name in Programs._fields))


def _built(compiler: str, name: str, place: Path) -> Path:
    program = place / name
    if not program.exists():
        # Under another name first: what broke half-way is not taken for a program.
        unready = place / f".{name}.{os.getpid()}"
        sources = [HERE / f"{name}.c", HERE / "echo_check.c"]
        subprocess.run(
            [compiler, *OPTIONS, "-o", str(unready), *map(str, sources), "-lzmq"], check=True
        )
        unready.rename(program)
    return program


def _digest() -> str:
    names = (*SHARED, *(f"{name}.c" for name in Programs._fields))
    text = b"".join((HERE / name).read_bytes() for name in names)
    return hashlib.sha256(text).hexdigest()[:16]


def _has_header(compiler: str) -> bool:
    command = [compiler, "-E", "-include", "zmq.h", "-x", "c", os.devnull]
    return subprocess.run(command, capture_output=True).returncode == 0
