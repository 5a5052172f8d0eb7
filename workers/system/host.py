"""The machine itself."""

from __future__ import annotations

import platform
import time
from datetime import UTC, datetime
from functools import cache

import msgspec
import psutil


class Host(msgspec.Struct, frozen=True):
    """The machine: its name, its system, and since when it runs."""

    #: What requests call it: their ``hostname``.
    name: str
    #: The kernel's name, such as ``Linux``.
    system: str
    #: The kernel's release.
    release: str
    #: The distribution with its version; empty where it does not say.
    distribution: str
    #: The processors' architecture, such as ``x86_64``.
    machine: str
    #: When it was started, in UTC.
    boot_time: datetime
    #: Seconds since then.
    uptime_seconds: float


def host(name: str) -> Host:
    """Return the facts about this machine, which is called ``name``."""
    booted = psutil.boot_time()
    return Host(
        name=name,
        system=platform.system(),
        release=platform.release(),
        distribution=_distribution(),
        machine=platform.machine(),
        boot_time=datetime.fromtimestamp(booted, UTC),
        uptime_seconds=round(max(0.0, time.time() - booted), 1),
    )


@cache
def _distribution() -> str:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""
