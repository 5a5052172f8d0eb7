"""One asking process: ``python -m tests.support.kills.asker SETTINGS``, as JSON.

It asks as the Python client does, with the client's own machinery, and writes down what
each request came to. When it is told to end by SIGTERM it forgets what is under way.
"""

from __future__ import annotations

import heapq
import math
import select
import signal
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import msgspec

from tests.support.kills.entries import Answer, value_of, write_answer
from tests.support.kills.plan import Plan
from vpoller_like.client import VPollerClient
from vpoller_like.client.flight import Flight
from vpoller_like.client.outcome import Envelope, code_of

#: Seconds between two looks at what is due.
LOOK = 0.02


class Settings(msgspec.Struct, frozen=True):
    """What to ask: every ``step``-th request from ``first``, below ``requests``.

    ``timeout`` is milliseconds for each of ``retries`` tries; ``window`` how many requests
    may be under way; ``rate`` how many new ones begin in a second. ``keys`` are the client's
    arguments about keys.
    """

    endpoints: list[str]
    plan: Plan
    first: int
    step: int
    requests: int
    rate: float
    file: str
    window: int = 128
    timeout: float = 3000
    retries: int = 20
    keys: dict[str, str] = {}


class Asking(NamedTuple):
    """A request under way, and when it was sent first and this time."""

    number: int
    first_sent: float
    sent: float
    is_again: bool


class Again(NamedTuple):
    """A request to ask again."""

    due: float
    number: int
    first_sent: float


class Asker:
    """Keeps requests under way until all have come to an end."""

    def __init__(self, settings: Settings, flight: Flight, answers: BinaryIO) -> None:
        self._settings = settings
        self._flight = flight
        self._answers = answers
        self._numbers = iter(range(settings.first, settings.requests, settings.step))
        self._next: int | None = next(self._numbers, None)
        self._again: list[Again] = []
        self._under_way: dict[int, Asking] = {}
        self._key = 0
        self._due = time.monotonic()

    def run(self) -> None:
        """Ask everything."""
        while self._next is not None or self._again or self._under_way:
            self._ask_due(time.monotonic())
            self._flight.turn()
            self._take_answers()
            self._wait()

    def _ask_due(self, now: float) -> None:
        while self._again and self._again[0].due <= now and self._has_room:
            again = heapq.heappop(self._again)
            self._ask(again.number, again.first_sent, now, is_again=True)
        # What a standstill has kept back is not made up for all at once.
        self._due = max(self._due, now - LOOK)
        while self._next is not None and self._due <= now and self._has_room:
            self._ask(self._next, now, now, is_again=False)
            self._next = next(self._numbers, None)
            self._due += 1 / self._settings.rate

    @property
    def _has_room(self) -> bool:
        return len(self._under_way) < self._settings.window

    def _ask(self, number: int, first_sent: float, now: float, *, is_again: bool) -> None:
        self._key += 1
        self._under_way[self._key] = Asking(number, first_sent, now, is_again)
        request = self._settings.plan.request(number)
        meta: dict[str, Any] = {"id": self._settings.plan.id(number)}
        if not is_again:
            meta["age_ms"] = 0
        elif request.says_age:
            meta["age_ms"] = math.ceil((now - first_sent) * 1000)
        elif len(self._settings.endpoints) > 1:
            meta["moved"] = True
        self._flight.launch(self._key, request.message(meta))

    def _take_answers(self) -> None:
        now = time.monotonic()
        for key in list(self._flight.landed):
            self._take(self._under_way.pop(key), self._flight.landed.pop(key), now)

    def _take(self, asking: Asking, envelope: Envelope, now: float) -> None:
        self._answers.write(write_answer(_answer(asking, envelope, now)))
        after = self._settings.plan.request(asking.number).again_after
        if after is not None and not asking.is_again:
            heapq.heappush(self._again, Again(now + after, asking.number, asking.first_sent))

    def _wait(self) -> None:
        poll = select.poll()
        for fileno in self._flight.filenos():
            poll.register(fileno, select.POLLIN)
        poll.poll(math.ceil(min(self._flight.patience(), self._until_due()) * 1000))

    def _until_due(self) -> float:
        """Return the seconds until there is more to ask, if there is room."""
        dues = [LOOK]
        if self._has_room and self._next is not None:
            dues.append(self._due - time.monotonic())
        return max(0.0, min(dues))


def _answer(asking: Asking, envelope: Envelope, now: float) -> Answer:
    code = code_of(envelope)
    if code == "":
        result = envelope["result"]
        value, worker = value_of(result["pid"], result["run"]), ""
    else:
        error = envelope.get("error", {})
        value = str(error.get("detail", envelope.get("msg")))
        worker = str(error.get("worker", ""))
    return Answer(asking.number, asking.sent, now, code, value, worker)


def _client(settings: Settings) -> VPollerClient:
    return VPollerClient(settings.endpoints, settings.timeout, settings.retries, **settings.keys)


def main(text: str) -> None:
    """Ask what ``text`` says."""
    settings = msgspec.json.decode(text, type=Settings)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    # The client's map hands replies out in the order of the requests; when each one came is
    # what counts here, so this drives what is beneath.
    with (
        Path(settings.file).open("wb") as answers,
        _client(settings) as client,
        client._flight() as flight,
    ):
        Asker(settings, flight, answers).run()


if __name__ == "__main__":
    main(sys.argv[1])
