"""The compiled memory of replies in lock step with the one in Python."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.core import offer, safe
from tests.support.twins import Load, as_they_are, in_python
from vpoller_like.broker import compiled
from vpoller_like.broker.figures import REMEMBERED_BYTES
from vpoller_like.config import BrokerSettings
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import Encoding
from vpoller_like.protocol.reply import ReplyMeta

pytestmark = pytest.mark.skipif(compiled.TWINS.kind != "c", reason="the compiled core is not there")

_NAMES = ("counters", "dispatcher", "memory", "routing", "task", "worker")
#: Of texts of which some have their place in a record, and others have not.
PRINCIPALS = ("", "", "", "zabbix", "\u00e4", "\u20ac\U0001f600", "p" * 1020)
IDS = ("", "{}", "id-{}", "\u00e9{}", "\udcff{}", "with\0{}", "long" * 30 + "{}", "i" * 2000)
MARKS = (b"m" * 16, b"n" * 16, b"m" * 16, b"", b"short", b"long" * 8, None)
SIZES = (0, 1, 150, 150, 150, 900, 2048, 2049, 6000)

seeds = st.integers(0, 2**32)


class Side:
    """One of the two."""

    def __init__(self, load: Load) -> None:
        modules: list[Any] = load("broker", *_NAMES)
        self.counters, self.dispatcher, self.memory, self.routing, self.task, self.worker = modules


BOTH = (Side(as_they_are), Side(in_python))


class Course:
    """Replies that are remembered, looked for and dropped, as a seed decides."""

    def __init__(self, side: Side, seed: int, keys: int) -> None:
        self.side, self.dice, self.now = side, random.Random(seed), 0.0
        size = self.dice.choice([5000, 100_000, 10_000_000])
        self.memory = side.memory.Memory(0.0, 5.0, size, self.dice.choice([4, 60, 1000]))
        counters = side.counters.Counters()
        self.dispatcher = side.dispatcher.Dispatcher(BrokerSettings(), self.memory, counters, [])
        self.route = side.routing.Route("m", None, 0.0)
        hello = wire.Hello(wire.VERSION, "w", "i", 1, 7, 1, 1, [offer(safe("m"))])
        self.worker = side.worker.Worker(b"p", hello, side.routing.Pool(b"", hello.offers), 0.0)
        self.keys = [self._key() for _ in range(keys)]
        self.log: list[Any] = []

    def _key(self) -> tuple[str, str]:
        id = self.dice.choice(IDS).format(self.dice.randrange(10_000))
        return self.dice.choice(PRINCIPALS), id

    def run(self, steps: int) -> list[Any]:
        for number in range(steps):
            self.now += self.dice.random() * 0.2
            self.dice.choice([self.finish, self.finish, self.finish, self.put])(number)
            if self.dice.random() < 0.1:
                self.memory.expire(self.now)
            self.look()
        # Whatever has moved since in the table is found where it is now.
        self.log.append([self._told(self.memory.get(key)) for key in self.keys])
        self.memory.expire(self.now + 5.0)
        self.log.append((len(self.memory), self.memory.bytes, list(self.memory)))
        return self.log

    def finish(self, number: int) -> None:
        """A task ends."""
        key, body = self.dice.choice(self.keys), self._body()
        task = self.side.task.Task(
            number, self.route, b"{}", b"", Encoding.JSON, self.now - self.dice.random(), 9.0, 4,
            key, self.dice.choice(MARKS), worker=self.dice.choice([None, self.worker]),
            given_at=self.now,
        )  # fmt: skip
        self.dispatcher.open(task)
        self.dispatcher.finish(task, "", body, self.now, self.dice.choice([None, 0, 1234]))

    def put(self, number: int) -> None:
        """What was made in Python is remembered."""
        meta = self.dice.choice([None, ReplyMeta(id="x", attempts=number)])
        mark = self.dice.choice(MARKS) or b""
        body, arrived = self._body(), self.now - self.dice.random()
        entry = self.side.memory.Remembered(mark, body, Encoding.JSON, meta, arrived, self.now)
        self.memory.put(self.dice.choice(self.keys), entry)

    def look(self) -> None:
        """Note what there is."""
        memory, key = self.memory, self.dice.choice(self.keys)
        self.log.append((memory.since, memory.bytes, memory.peak, memory.peak_bytes))
        self.log.append((memory.evicted, len(memory), list(memory), key in memory))
        self.log.append(self._told(memory.get(key)))

    def _body(self) -> bytes:
        return self.dice.randbytes(self.dice.choice(SIZES))

    @staticmethod
    def _told(entry: Any) -> Any:
        if entry is None:
            return None
        fields = (entry.fingerprint, entry.body, entry.encoding, entry.meta)
        return (*fields, entry.arrived, entry.finished)


def courses(seed: int, keys: int, steps: int) -> tuple[list[Any], list[Any]]:
    ours, theirs = (Course(side, seed, keys).run(steps) for side in BOTH)
    return ours, theirs


@settings(max_examples=60, deadline=None)
@given(seeds, st.integers(1, 100))
def test_memories_keep_the_same(seed: int, keys: int) -> None:
    ours, theirs = courses(seed, keys, 120)
    assert ours == theirs


def test_the_same_of_thousands_is_kept() -> None:
    seen = []
    for side in BOTH:
        memory = side.memory.Memory(0.0, 5.0, 64 << 20, 2500)
        for number in range(6000):
            entry = side.memory.Remembered(b"", b"", Encoding.JSON, None, 0.0, 0.0)
            memory.put(("", str(number)), entry)
        kept = [n for n in range(6000) if ("", str(n)) in memory]
        seen.append((kept, list(memory), memory.bytes))
    assert seen[0] == seen[1]
    assert seen[0][0] == list(range(3500, 6000))
    assert seen[0][2] == 2500 * REMEMBERED_BYTES


def test_the_course_goes_everywhere() -> None:
    logs = [courses(seed, 30, 120)[1] for seed in range(12)]
    looks = [entry for log in logs for entry in log[2::3] if entry]
    assert any(len(entry[1]) > 2048 for entry in looks)
    assert any(entry[0] and len(entry[0]) == 16 for entry in looks)
    assert any(entry[3] and entry[3].worker for entry in looks)
    assert any(entry[0] for log in logs for entry in log[1::3])


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(BOTH[1].memory, "REMEMBERED_BYTES", REMEMBERED_BYTES + 1)
    assert any(ours != theirs for ours, theirs in (courses(seed, 9, 60) for seed in range(9)))
