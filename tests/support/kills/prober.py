"""A client that asks at fixed times, whatever came of it before: how long is there no answer?"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from vpoller_like.client import AsyncVPollerClient

#: Seconds between two requests.
EVERY = 0.05


class Probe(NamedTuple):
    """One request that was answered with a success. Times are monotonic seconds."""

    sent: float
    received: float


class Prober:
    """Asks from a thread of its own until the block is left.

    ``patience`` is how many seconds each request waits.
    """

    def __init__(self, endpoints: Sequence[str], patience: float = 60.0) -> None:
        self.probes: list[Probe] = []
        #: What was answered otherwise, or not.
        self.failures: list[str] = []
        self._client = AsyncVPollerClient(list(endpoints), timeout=1000, retries=int(patience))
        self._over = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="prober")

    def answered_since(self, when: float) -> bool:
        """Say whether something asked after that time was answered."""
        return any(probe.sent >= when for probe in reversed(self.probes[-100:]))

    async def _run(self) -> None:
        async with self._client, asyncio.TaskGroup() as group:
            while not self._over.is_set():
                group.create_task(self._ask())
                await asyncio.sleep(EVERY)

    async def _ask(self) -> None:
        sent = time.monotonic()
        reply = await self._client.run({"method": "ledger.ping"})
        if reply["success"] == 0:
            self.probes.append(Probe(sent, time.monotonic()))
        else:
            self.failures.append(str(reply["msg"]))

    def __enter__(self) -> Prober:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()
