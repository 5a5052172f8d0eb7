"""Waiting for descriptors, in a program that has nothing else to do."""

from __future__ import annotations

import select
from collections.abc import Iterable

from vpoller_like.clock import poll_milliseconds


def wait(filenos: Iterable[int], seconds: float) -> None:
    """Return when one of ``filenos`` is readable or closed, or after so many ``seconds``."""
    poll = select.poll()
    for fileno in filenos:
        poll.register(fileno, select.POLLIN)
    poll.poll(poll_milliseconds(seconds))
