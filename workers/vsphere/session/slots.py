"""How many calls may be under way at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class TooManyCalls(Exception):
    """As many calls as are allowed were under way, and none ended in time."""

    def __init__(self, limit: int, waited: float) -> None:
        super().__init__(f"{limit} calls are under way")
        self.limit = limit
        self.waited = waited


class Slots:
    """Lets ``limit`` threads through at once; the others wait ``patience`` seconds at most."""

    def __init__(self, limit: int, patience: float) -> None:
        self._limit = limit
        self._patience = patience
        self._free = threading.BoundedSemaphore(limit)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Hold a slot for the time of the block; raise ``TooManyCalls``."""
        if not self._free.acquire(timeout=self._patience):
            raise TooManyCalls(self._limit, self._patience)
        try:
            yield
        finally:
            self._free.release()
