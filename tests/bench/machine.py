"""Where and with what a run was made."""

from __future__ import annotations

import os
import platform
import subprocess
import time
from collections.abc import Iterator

import msgspec
import psutil
import zmq

from vpoller_like import __version__


def facts() -> dict[str, str]:
    """Return what a reader needs to compare these figures with others."""
    memory = psutil.virtual_memory().total / (1 << 30)
    return {
        "Date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "Processor": f"{_processor()}, {os.cpu_count()} cores",
        "Memory": f"{memory:.0f} GiB",
        "System": f"{platform.system()} {platform.release()}",
        "Versions": ", ".join(_versions()),
    }


def _versions() -> Iterator[str]:
    yield f"vpoller-like {__version__}"
    yield f"Python {platform.python_version()}"
    yield f"pyzmq {zmq.__version__}"
    yield f"libzmq {zmq.zmq_version()}"
    yield f"msgspec {msgspec.__version__}"
    compiler = _first_line(["cc", "--version"])
    if compiler:
        yield compiler


def _processor() -> str:
    with open("/proc/cpuinfo") as lines:
        for line in lines:
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def _first_line(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return ""
    return done.stdout.partition("\n")[0]
