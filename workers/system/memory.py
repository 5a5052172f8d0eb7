"""Memory and swap."""

from __future__ import annotations

import msgspec
import psutil


class Swap(msgspec.Struct, frozen=True):
    """Swap space; all zero where there is none."""

    total_bytes: int
    used_bytes: int
    free_bytes: int
    #: Used of total, 0 to 100.
    percent: float


class Memory(msgspec.Struct, frozen=True):
    """The machine's memory; a container sees its host's."""

    total_bytes: int
    #: What programs can still get without swapping; ``free_bytes`` and most of the caches.
    available_bytes: int
    #: Taken by programs and the kernel.
    used_bytes: int
    #: Used by nothing at all.
    free_bytes: int
    #: Copies of files; given up when programs need it. 0 where the system has no such count.
    cached_bytes: int
    #: What is not available of total, 0 to 100.
    percent: float
    swap: Swap


def memory() -> Memory:
    """Return what the system says about its memory now."""
    found = psutil.virtual_memory()
    return Memory(
        total_bytes=found.total,
        available_bytes=found.available,
        used_bytes=found.used,
        free_bytes=found.free,
        cached_bytes=getattr(found, "cached", 0),
        percent=found.percent,
        swap=_swap(),
    )


def _swap() -> Swap:
    found = psutil.swap_memory()
    return Swap(
        total_bytes=found.total,
        used_bytes=found.used,
        free_bytes=found.free,
        percent=found.percent,
    )
