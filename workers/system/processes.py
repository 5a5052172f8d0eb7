"""The processes that run on this machine."""

from __future__ import annotations

import pwd
import shlex
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import psutil

from workers.system.baseline import Baseline, Sample
from workers.system.text import clean

Sort = Literal["cpu", "memory", "pid"]

#: A process by its id and start time, for ids are used again; seconds of CPU so far.
Used = dict[tuple[int, float], float]

#: Seconds; a process's counters move in hundredths of one.
SHORTEST = 0.2


class Process(msgspec.Struct, frozen=True):
    """One process. What this worker may not see of it is null or empty."""

    pid: int
    #: The process that started it; null where that cannot be seen.
    ppid: int | None
    name: str
    #: The user it runs as: the name, or the number where that has none.
    user: str
    #: ``running``, ``sleeping``, ``disk-sleep``, ``stopped``, ``zombie`` and so on.
    status: str
    #: Percent of one core (so up to 100 times the cores), since an earlier look by the same
    #: worker process, or since the process's start where there was none.
    cpu_percent: float
    #: Memory that it really holds.
    rss_bytes: int
    threads: int
    #: When it was started, in UTC.
    create_time: datetime
    #: Its command and arguments, quoted as a shell would need it; empty for the kernel's.
    command_line: str


class ProcessCount(msgspec.Struct, frozen=True):
    """How many processes there are."""

    total: int
    #: How many by each status that occurs.
    by_status: dict[str, int]


class ProcessMeter:
    """Lists processes and what each has used of a core, from one look to the next."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._baseline: Baseline[Used] = Baseline({}, clock)

    def read(self, name: str = "", sort: Sort = "pid", limit: int | None = None) -> list[Process]:
        """Return the processes, or those with ``name`` in their names whatever its case.

        ``sort`` puts those first that use most, or have the lowest id; at most ``limit``
        of them. A process that ends meanwhile is left out.
        """
        seen = list(_seen())
        before, now = self._baseline.look({_key(facts): _cpu_seconds(facts) for facts in seen})
        wall = time.time()
        found = [
            _process(facts, _percent(facts, before, now, wall))
            for facts in seen
            if name.lower() in (facts["name"] or "").lower()
        ]
        return sorted(found, key=_ORDERS[sort])[:limit]


def process_count() -> ProcessCount:
    """Return how many processes there are, by status."""
    counts: Counter[str] = Counter()
    for process in psutil.process_iter():
        try:
            counts[str(process.status())] += 1
        except psutil.Error:
            continue
    return ProcessCount(total=counts.total(), by_status=dict(sorted(counts.items())))


_FACTS = (
    "pid",
    "ppid",
    "name",
    "uids",
    "status",
    "cpu_times",
    "memory_info",
    "num_threads",
    "create_time",
    "cmdline",
)

_ORDERS: dict[Sort, Callable[[Process], Any]] = {
    "cpu": lambda process: (-process.cpu_percent, process.pid),
    "memory": lambda process: (-process.rss_bytes, process.pid),
    "pid": lambda process: process.pid,
}


def _seen() -> Iterator[dict[str, Any]]:
    # Not process_iter, whose Process objects all threads share.
    for pid in psutil.pids():
        try:
            yield psutil.Process(pid).as_dict(_FACTS, ad_value=None)
        except psutil.Error:
            continue


def _key(facts: dict[str, Any]) -> tuple[int, float]:
    return facts["pid"], facts["create_time"] or 0.0


def _cpu_seconds(facts: dict[str, Any]) -> float:
    times = facts["cpu_times"]
    return float(times.user + times.system) if times else 0.0


def _percent(facts: dict[str, Any], before: Sample[Used], now: Sample[Used], wall: float) -> float:
    key, used = _key(facts), _cpu_seconds(facts)
    window = now.at - before.at
    if key not in before.value or window < SHORTEST:
        # A process is as old as it is: its start is on the calendar's clock.
        return _share(used, wall - key[1])
    return _share(used - before.value[key], window)


def _share(used: float, window: float) -> float:
    return round(100.0 * max(0.0, used) / max(window, SHORTEST), 1)


def _process(facts: dict[str, Any], cpu_percent: float) -> Process:
    memory = facts["memory_info"]
    return Process(
        pid=facts["pid"],
        ppid=facts["ppid"],
        name=clean(facts["name"] or ""),
        user=_user(facts["uids"]),
        status=str(facts["status"] or ""),
        cpu_percent=cpu_percent,
        rss_bytes=memory.rss if memory else 0,
        threads=facts["num_threads"] or 0,
        create_time=datetime.fromtimestamp(facts["create_time"] or 0.0, UTC),
        command_line=clean(shlex.join(facts["cmdline"] or ())),
    )


def _user(uids: Any) -> str:
    if uids is None:
        return ""
    try:
        return clean(pwd.getpwuid(uids.real).pw_name)
    except KeyError:
        return str(uids.real)
