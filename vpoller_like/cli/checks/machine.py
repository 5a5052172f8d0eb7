"""This machine: the versions of what vpoller stands on, the clock, and what the system allows."""

from __future__ import annotations

import os
import platform
import resource
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version

from vpoller_like import errors
from vpoller_like.agent.compiled import TWINS as AGENT
from vpoller_like.broker.compiled import TWINS as BROKER
from vpoller_like.cli.checks.finding import Finding, Reporter
from vpoller_like.config import Settings
from vpoller_like.transport import burst, versions
from vpoller_like.transport.compiled import TWINS as WAITS
from vpoller_like.worker.compiled import TWINS as WORKER

report = Reporter("machine")

#: Before it, strangers could overwrite memory, also of those who asked for keys
#: (CVE-2019-13132, CVE-2020-15166, CVE-2021-20235).
SAFE_LIBZMQ = (4, 3, 3)
#: The one that the limits and the numbers in the documents were measured with.
KNOWN_LIBZMQ = (4, 3, 5)
#: Descriptors beyond the connections: sockets, logs, libraries.
SPARE_FILES = 64
#: What a worker process and its supervisor open at the most, beside what agents do.
WORKER_FILES = 256


def check(settings: Settings) -> Iterator[Finding]:
    """Look at this machine."""
    yield python()
    yield libzmq(versions.libzmq(), versions.has_curve())
    yield transport(burst.KIND, burst.REASON)
    yield core("a broker's requests", BROKER.kind, BROKER.reason)
    yield core("a worker's tasks", WORKER.kind, WORKER.reason)
    yield core("calls of an agent's tasks", AGENT.kind, AGENT.reason)
    yield core("waits for messages", WAITS.kind, WAITS.reason)
    yield clock(time.time(), os.stat(errors.__file__).st_mtime)
    yield files(settings, *resource.getrlimit(resource.RLIMIT_NOFILE))


def python() -> Finding:
    """Say which Python and which pyzmq run this."""
    return report.ok(
        f"Python {platform.python_version()} ({sys.executable}), pyzmq {version('pyzmq')}"
    )


def libzmq(found: tuple[int, int, int], curve: bool) -> Finding:
    """Judge the version of libzmq."""
    name = f"libzmq {'.'.join(map(str, found))}"
    install = "pip install --upgrade pyzmq brings one with it"
    if found < SAFE_LIBZMQ:
        return report.problem(f"{name} lets strangers overwrite memory", install)
    if not curve:
        return report.warning(f"{name} was built without CURVE: no keys can be used", install)
    if found < KNOWN_LIBZMQ:
        return report.warning(f"{name} is older than what vpoller is tested with", install)
    return report.ok(f"{name}, with CURVE")


def transport(kind: str, reason: str) -> Finding:
    """Say what reads and writes messages; ``reason`` is why that is not the C extension."""
    if kind == "c":
        return report.ok("the C extension reads and writes messages")
    return report.ok(f"messages are read and written in pure Python, which is slower: {reason}")


def core(what: str, kind: str, reason: str) -> Finding:
    """Say in what ``what`` is handled; ``reason`` is why that is not the C extension."""
    if kind == "c":
        return report.ok(f"{what} go through the C extension")
    return report.ok(f"{what} go through pure Python, which is slower: {reason}")


def clock(now: float, installed: float) -> Finding:
    """Judge the wall clock: it cannot be earlier than the installation of this program."""
    text = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    if now < installed - 86_400:
        return report.problem(
            f"the clock says {text}, before this program was installed",
            "set it; certificates and logs need it (vpoller's own time-outs do not)",
        )
    return report.ok(f"the clock says {text}")


def files(settings: Settings, soft: int, hard: int) -> Finding:
    """Judge how many descriptors a process may open; a broker raises its own limit."""
    wanted = settings.broker.max_files
    if hard != resource.RLIM_INFINITY and hard < wanted:
        return report.warning(
            f"a process may open {hard} files, and broker.max_files asks for {wanted}: the broker "
            f"will take about {max(0, hard - SPARE_FILES)} connections",
            f"raise it (LimitNOFILE={wanted} in the service, or ulimit -Hn {wanted})",
        )
    if soft != resource.RLIM_INFINITY and soft < WORKER_FILES:
        return report.warning(
            f"a process may open {soft} files, which is little for agents",
            "raise it (LimitNOFILESoft= in the service, or ulimit -Sn 1024)",
        )
    return report.ok(f"a process may open {_number(soft)} files, a broker {_number(hard)}")


def _number(limit: int) -> str:
    return "any number of" if limit == resource.RLIM_INFINITY else str(limit)
