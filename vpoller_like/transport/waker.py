"""Waking a loop from another thread or from a signal handler."""

from __future__ import annotations

import contextlib
import os


class Waker:
    """An eventfd that a loop polls. Waking twice before the loop looks costs once."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._awake = False

    def wake(self) -> None:
        """Make the loop's next wait return at once; from any thread."""
        if not self._awake:
            self._awake = True
            os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        """Called by the loop, before it looks at what it was woken for."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)
        # Last: a wake that comes before this line needs no write, for the loop has not
        # looked yet; one that came between a reset and the read would be swallowed.
        self._awake = False

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.fd)
