"""The processors: how many, how fast, how busy."""

from __future__ import annotations

from typing import Any

import msgspec
import psutil

from workers.system.baseline import Baseline

#: Seconds. Below this the counters have hardly moved, and the average since the
#: machine's start says more.
SHORTEST = 0.2

#: Ticks of one core: seconds busy, and seconds in all.
Ticks = tuple[float, float]


class Load(msgspec.Struct, frozen=True):
    """Processes that run or wait to run, averaged over 1, 5 and 15 minutes."""

    one_minute: float
    five_minutes: float
    fifteen_minutes: float


class Cpu(msgspec.Struct, frozen=True):
    """The processors.

    The percentages cover the time since an earlier look by the same worker process, at
    least a second where there was one; right after a worker's start, since boot.
    """

    #: Logical cores: what the system schedules on.
    cores: int
    #: Physical cores; null where the system does not tell, as in many virtual machines.
    physical_cores: int | None
    #: The current frequency in MHz; null where the system does not tell.
    frequency_mhz: float | None
    #: How busy all cores together are, 0 to 100.
    percent: float
    #: How busy each core is, 0 to 100.
    percent_per_core: list[float]
    load: Load


class CpuMeter:
    """Measures how busy the cores are, from one look to the next."""

    def __init__(self) -> None:
        self._baseline = Baseline(_ticks())

    def read(self) -> Cpu:
        """Return the facts; takes a fraction of a millisecond and waits for nothing."""
        before, now = self._baseline.look(_ticks())
        since = before.value if now.at - before.at >= SHORTEST else None
        cores = _busy(now.value, since)
        return Cpu(
            cores=psutil.cpu_count() or len(cores),
            physical_cores=psutil.cpu_count(logical=False),
            frequency_mhz=_frequency(),
            percent=round(sum(cores) / max(1, len(cores)), 1),
            percent_per_core=[round(percent, 1) for percent in cores],
            load=Load(*(round(load, 2) for load in psutil.getloadavg())),
        )


def _ticks() -> list[Ticks]:
    return [_core(times) for times in psutil.cpu_times(percpu=True)]


def _core(times: Any) -> Ticks:
    # Linux counts a guest's time as its host's user time as well.
    total = sum(times) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    return total - times.idle - getattr(times, "iowait", 0.0), total


def _busy(now: list[Ticks], before: list[Ticks] | None) -> list[float]:
    # A core that came or went between the two leaves nothing to compare with.
    if before is None or len(before) != len(now):
        before = [(0.0, 0.0)] * len(now)
    return [_percent(new, old) for new, old in zip(now, before, strict=True)]


def _percent(now: Ticks, before: Ticks) -> float:
    busy, total = now[0] - before[0], now[1] - before[1]
    return min(100.0, max(0.0, 100.0 * busy / total)) if total > 0 else 0.0


def _frequency() -> float | None:
    try:
        frequency = psutil.cpu_freq()
    except (OSError, NotImplementedError, RuntimeError):
        return None
    return round(frequency.current, 1) if frequency and frequency.current else None
