"""Waiting for channels in an asyncio program, without a thread and without polling."""

from __future__ import annotations

import asyncio
from collections.abc import Collection


async def readable(filenos: Collection[int], timeout: float) -> None:
    """Return when one of ``filenos`` is readable, or after ``timeout`` seconds."""
    loop = asyncio.get_running_loop()
    woken = loop.create_future()
    timer = loop.call_later(max(0.0, timeout), _wake, woken)
    for fileno in filenos:
        loop.add_reader(fileno, _wake, woken)
    try:
        await woken
    finally:
        timer.cancel()
        for fileno in filenos:
            loop.remove_reader(fileno)


def _wake(woken: asyncio.Future[None]) -> None:
    if not woken.done():
        woken.set_result(None)
