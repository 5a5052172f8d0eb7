"""A load that asks as a Python program does: by a client's ``run`` or ``map``.

``client_calls.py MODULE ENDPOINT run|map WINDOW SECONDS PAYLOAD TEMPLATE``

It says what ``load.c`` says, and checks what it checks. The module is ``vpoller_like.client``
or, in its own environment, ``vpoller.client``; so only the standard library is used here.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

Request = dict[str, Any]


class Requests:
    """Yields requests until it is time, and checks what is answered."""

    def __init__(self, template: str, payload: int, until: float) -> None:
        self._template, self._filling, self._until = template, "x" * (payload - 16), until
        self._count = 0

    def __iter__(self) -> Iterator[Request]:
        while time.perf_counter() < self._until:
            yield self.make()

    def make(self) -> Request:
        """Return the next request."""
        self._count += 1
        text = self._template.replace("@P", f"{self._count:016x}{self._filling}")
        request: Request = json.loads(text)
        return request


def check(request: Request, reply: Any) -> None:
    """End the program if ``reply`` is none to ``request``."""
    if isinstance(reply, str):
        reply = json.loads(reply)
    if reply.get("success") != 0 or reply.get("result") != request["data"]:
        sys.exit(f"not an answer to what was asked: {str(reply)[:300]}")


def by_run(client: Any, requests: Requests) -> list[float]:
    """Ask one after the other; return the round trips in seconds."""
    trips = []
    for request in requests:
        before = time.perf_counter()
        reply = client.run(request)
        trips.append(time.perf_counter() - before)
        check(request, reply)
    return trips


def by_map(client: Any, requests: Requests, window: int) -> list[float]:
    """Ask with ``window`` under way; return how long each was so on average."""
    sent: list[Request] = []

    def drawn() -> Iterator[Request]:
        for request in requests:
            sent.append(request)
            yield request

    before = time.perf_counter()
    for number, reply in enumerate(client.map(drawn(), window=window)):
        check(sent[number], reply)
    spent = time.perf_counter() - before
    return [spent / len(sent) * window] * len(sent)


def main() -> None:
    """Be a load."""
    module, endpoint, how, window, seconds, payload, template = sys.argv[1:]
    client = importlib.import_module(module).VPollerClient(endpoint)
    greeting = Requests(template, int(payload), 0.0).make()
    check(greeting, client.run(greeting))
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, begin = _cpu(), time.perf_counter()
    requests = Requests(template, int(payload), begin + float(seconds))
    trips = by_run(client, requests) if how == "run" else by_map(client, requests, int(window))
    _report(trips, time.perf_counter() - begin, _cpu() - cpu)


def _cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def _report(trips: list[float], seconds: float, cpu: float) -> None:
    trips.sort()
    report = {
        "seconds": seconds,
        "timely": len(trips),
        "answers": len(trips),
        "p50_us": trips[len(trips) // 2] * 1e6,
        "p99_us": trips[len(trips) * 99 // 100] * 1e6,
        "cpu_us": cpu * 1e6,
    }
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
