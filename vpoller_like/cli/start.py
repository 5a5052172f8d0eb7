"""Where the program begins: before it imports anything that is large."""

from __future__ import annotations

import gc
from collections.abc import Sequence

#: Objects made, and not freed, before the first of them are looked through for garbage.
#: What is imported stays: looking through it took ``vpoller call`` 7 of its 96 ms.
_YOUNG = 50_000


def main(argv: Sequence[str] | None = None) -> int:
    """Be ``vpoller``; see :func:`vpoller_like.cli.main.main`."""
    gc.set_threshold(_YOUNG)
    from vpoller_like.cli.main import main as run

    return run(argv)


def client(argv: Sequence[str] | None = None) -> int:
    """Be ``vpoller-client``; see :func:`vpoller_like.cli.upstream.client.main`."""
    gc.set_threshold(_YOUNG)
    from vpoller_like.cli.upstream.client import main as run

    return run(argv)
