"""File descriptors: how many this process may have, and how many it has."""

from __future__ import annotations

import os
import resource

_OPEN = "/proc/self/fd"


def raise_file_limit(wanted: int) -> int:
    """Raise the soft limit to ``wanted``, or as far as the hard one allows; return it.

    It is never lowered.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    best = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft == resource.RLIM_INFINITY or soft >= best:
        return soft
    resource.setrlimit(resource.RLIMIT_NOFILE, (best, hard))
    return best


def file_limit() -> int:
    """Return how many descriptors this process may have open."""
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


def open_files() -> int:
    """Return how many descriptors this process has open."""
    try:
        # Linux counts them in the directory's size since 6.2; before, it is 0.
        return os.stat(_OPEN).st_size or len(os.listdir(_OPEN))
    except OSError:
        # The list takes a descriptor of its own, and there was none left.
        return file_limit()
