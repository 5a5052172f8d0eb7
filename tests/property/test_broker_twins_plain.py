"""What a broker reads of a request, compiled and in Python: the same, of plain ones and others."""

from __future__ import annotations

import itertools
import json
import random
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.core import offer, safe
from tests.support.twins import Load, as_they_are, in_python
from vpoller_like.broker import compiled
from vpoller_like.config import BrokerSettings
from vpoller_like.protocol import worker as wire
from vpoller_like.transport.message import Message

pytestmark = pytest.mark.skipif(compiled.TWINS.kind != "c", reason="the compiled core is not there")


class Side:
    """One of the two brokers: what reads, and what takes in what was read."""

    def __init__(self, load: Load) -> None:
        names: tuple[str, ...] = ("core", "events", "intake", "gate", "access")
        modules: list[Any] = load("broker", *names)
        self.core, self.events, self.intake, self.gate, self.access = modules

    def read(self, body: bytes) -> list[Any]:
        """Return what a new broker, 100 seconds after its start, makes of ``body``."""
        limits = BrokerSettings(grace_ms=1, max_batch=40, max_reply=4096)
        tokens = itertools.count()
        core = self.core.BrokerCore(
            limits, now=0.0, epoch=1, new_token=lambda: b"%d" % next(tokens)
        )
        core.handle(self.events.Tick(), 1.0)
        # It serves m, of any host, and one thing at a time; all others wait.
        hello = wire.Hello(1, "w", "instance", 1, 7, 1, 0, [offer(safe("m"), "n" * 128, "")])
        core.handle(self.events.WorkerSays(b"w", hello), 1.0)
        said: list[Any] = []
        gate = self.gate.Gate(self.access.Access(), core.counters, lambda: 100.0)
        intake = self.intake.Intake(limits, gate, core.counters, said.append)
        intake.messages.append(Message([b"c", b"", body], False))
        requests = intake.take(False)
        assert not intake.messages
        for request in requests:
            said.append((request.body, request.head, request.index, request.principal))
            said += core.handle(request, 100.0)
            task = core.admission.begun
            if task is not None:
                said.append((task.route.method, task.route.hostname, task.key, task.fingerprint))
                said.append((task.deadline, task.priority, task.state.name, task.encoding))
        held = core.roster._by_peer[b"w"].tasks if requests else {}
        results = [
            wire.Result(task, known.attempt, "", 1_234_560, b'{"success":0,"result":1}')
            for task, known in held.items()
        ]
        said += core.handle(self.events.WorkerSays(b"w", wire.Results(1, 1, 0, results)), 100.0021)
        return [repr(entry) for entry in said]


BOTH = (Side(as_they_are), Side(in_python))

#: As they are written; most of them plain.
TEXTS = [
    *('""', '"m"', '"a b"', '"meta"', '"\\u0041"', '"\\n"', '"\u00e9"', '"\x7f"', '"/"', '"\t"'),
    f'"{"n" * 128}"',
    f'"{"n" * 129}"',
    f'"{"h" * 255}"',
    f'"{"h" * 256}"',
    '"it\\"s"',
    '"',
]
NUMBERS = [
    *(
        "0",
        "-0",
        "7",
        "-7",
        "007",
        "9",
        "10",
        "1.5",
        "0.25",
        "1e3",
        "1E-2",
        "-1",
        "1.",
        ".5",
        "--1",
    ),
    *("20000", "999999999999.999", "1000000000000", "1000000000001", "123456789012345678"),
    *("1234567890123456789", "18446744073709551616", "0.1234567890123456789", "1e999", "5000.125"),
]
WORDS = ["true", "false", "null", "nul", "True"]
KEYS = ['"method"', '"hostname"', '"meta"', '"a"', '"b"', '"ab"', '""', '"\\u0061"', '"z z"']
META_KEYS = ["id", "age_ms", "deadline_ms", "moved", "priority", "traceparent", "other"]
SPACES = ["", "", "", "", " ", "\n\t ", "\r", "\x0b"]


class Writer:
    """Writes requests as the dice have it: most of them right, many of them plain."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        #: How often something odd is written.
        self.odd = self.dice.choice([0.0, 0.02, 0.2])

    def is_odd(self) -> bool:
        return self.dice.random() < self.odd

    def text(self) -> str:
        return self.dice.choice(TEXTS if self.is_odd() else TEXTS[:4])

    def number(self) -> str:
        return self.dice.choice(NUMBERS if self.is_odd() else ["0", "7", "-7", "20000"])

    def word(self) -> str:
        return self.dice.choice(WORDS if self.is_odd() else WORDS[:3])

    def space(self) -> str:
        return self.dice.choice(SPACES) if self.is_odd() else ""

    def value(self, depth: int = 1) -> str:
        kinds = [self.text, self.number, self.word]
        if depth < 8:
            kinds += [lambda: self.array(depth + 1), lambda: self.object(depth + 1)]
        return self.dice.choice(kinds)()

    def size(self) -> int:
        return self.dice.choice([40, 70]) if self.is_odd() else self.dice.randrange(4)

    def array(self, depth: int) -> str:
        items = [self.value(depth) for _ in range(min(self.size(), 1 << (8 - depth)))]
        return self.close("[", items, "]")

    def object(self, depth: int) -> str:
        keys = KEYS if self.is_odd() else [f'"{c}"' for c in "abcdefgh"]
        picked = self.dice.sample(keys, min(len(keys), self.size()))
        return self.close("{", [f"{key}:{self.value(depth)}" for key in picked], "}")

    def close(self, first: str, items: list[str], last: str) -> str:
        space = self.space
        text = ",".join(f"{space()}{item}{space()}" for item in items)
        return f"{first}{text}{',' if self.is_odd() and self.is_odd() else ''}{last}"

    def meta(self) -> str:
        values: dict[str, Any] = {
            "id": lambda: self.dice.choice(['"i"', '"j"', f'"{"i" * 128}"', "null"]),
            "age_ms": lambda: self.dice.choice(["0", "0.0", "5", "99000.5", "100500", "null"]),
            "deadline_ms": lambda: self.dice.choice(["20000", "0.5", "12345.678", "null"]),
            "moved": lambda: self.dice.choice(["true", "false"]),
            "priority": lambda: str(self.dice.randrange(10)),
            "traceparent": lambda: self.dice.choice([f'"{"t" * 256}"', f'"{"t" * 257}"', "null"]),
            "other": self.value,
        }
        keys = self.dice.sample(META_KEYS[:-1], self.dice.randrange(6))
        if self.is_odd():
            keys.insert(0, self.dice.choice(META_KEYS))
        fields = [f'"{k}":{self.value() if self.is_odd() else values[k]()}' for k in keys]
        return self.close("{", fields, "}")

    def request(self) -> str:
        fields = [f'"method":{self.text() if self.is_odd() else chr(34) + "m" + chr(34)}']
        if self.dice.random() < 0.7:
            fields.append(f'"meta":{self.value() if self.is_odd() else self.meta()}')
        if self.dice.random() < 0.4:
            fields.append(f'"hostname":{self.dice.choice([self.text(), "null"])}')
        fields += [f'"{key}":{self.value()}' for key in "cba"[: self.dice.randrange(4)]]
        if self.is_odd():
            fields.append(f"{self.dice.choice(KEYS)}{self.space()}:{self.value()}")
        self.dice.shuffle(fields)
        return self.close("{", fields, "}")

    def body(self) -> bytes:
        text = self.request()
        if self.dice.random() < 0.3:
            text = self.close(
                "[", [self.request() for _ in range(self.dice.choice([1, 3, 50]))], "]"
            )
        body = (self.space() + text + self.space()).encode()
        if self.is_odd() and body:
            # One byte of it is another one, or it is cut.
            at = self.dice.randrange(len(body))
            cut = self.dice.random() < 0.3
            body = body[:at] if cut else body[:at] + self.dice.randbytes(1) + body[at + 1 :]
        return body


def read_by_both(body: bytes) -> list[Any]:
    ours, theirs = (side.read(body) for side in BOTH)
    assert ours == theirs, body
    return theirs


@given(st.integers(0, 1 << 32))
def test_the_same_is_read(seed: int) -> None:
    read_by_both(Writer(seed).body())


@pytest.mark.parametrize(
    "meta", [f'{{"id":"i","{key}":{value}}}' for key in META_KEYS for value in [*NUMBERS, *WORDS]]
)
def test_each_number_is_read_the_same_in_meta(meta: str) -> None:
    read_by_both(f'{{"method":"m","meta":{meta}}}'.encode())


@pytest.mark.parametrize("value", [*TEXTS, *NUMBERS, *WORDS, "[]", "{}", "[[[[[[1]]]]]]"])
@pytest.mark.parametrize("key", ["method", "hostname", "meta", "data"])
def test_each_value_is_read_the_same(key: str, value: str) -> None:
    for order in (f'"method":"m","{key}":{value}', f'"{key}":{value},"method":"m"'):
        read_by_both(f'{{{order},"meta":{{"id":"i"}}}}'.encode(errors="surrogateescape"))


@pytest.mark.parametrize("count", [31, 32, 33, 34])
def test_an_object_may_have_many_keys(count: int) -> None:
    fields = {f"k{n}": {f"l{m}": m for m in range(count)} for n in range(3)}
    body = {"method": "m", "meta": {"id": "i"}, **fields, **dict.fromkeys(map(str, range(count)))}
    read_by_both(json.dumps(body).encode())


def test_the_course_goes_everywhere() -> None:
    """One on which nothing is plain, or nothing is odd, would find both equal."""
    seen = "\n".join(entry for seed in range(400) for entry in BOTH[1].read(Writer(seed).body()))
    for sign in (
        "Give",
        "bad_request",
        "RUNNING",
        "QUEUED",
        "WhoHas",
        "unknown_method",
        "id_reused",
    ):
        assert sign in seen, sign


def test_most_are_plain() -> None:
    """Those that are not would be compared with what reads them in Python, too."""
    gate = BOTH[0].gate.Gate(BOTH[0].access.Access(), None)
    plain = others = 0
    for seed in range(300):
        intake = BOTH[0].intake.Intake(BrokerSettings(), gate, None, lambda _: None)
        intake.messages.append(Message([b"c", b"", Writer(seed).body()], False))
        try:
            requests = [r for r in intake.take(False) if r.head.meta and r.head.meta.id]
        except AttributeError:
            # It is wrong, and there is nobody to say so.
            continue
        plain += sum(request.mark is not None for request in requests)
        others += sum(request.mark is None for request in requests)
    assert plain > 2 * others > 0


def test_a_difference_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = BOTH[1].core.BrokerCore.handle

    def handle(core: Any, event: Any, now: float) -> Any:
        return usual(core, event, now + 0.001)

    monkeypatch.setattr(BOTH[1].core.BrokerCore, "handle", handle)
    body = b'{"method":"m","meta":{"id":"i"}}'
    assert BOTH[0].read(body) != BOTH[1].read(body)


_TWO_THREADS = """
import sys, threading
from vpoller_like.broker.access import Access
from vpoller_like.broker.counters import Counters
from vpoller_like.broker.gate import Gate
from vpoller_like.broker.intake import Intake
from vpoller_like.config import BrokerSettings
from vpoller_like.protocol.request import fingerprint
from vpoller_like.transport.message import Message

sys.setswitchinterval(1e-6)
parts = [b'{"method":"m","x":"%s","meta":{"id":"%d"}}' % (b"x" * 20_000, n) for n in range(10)]
wanted = [fingerprint(part) for part in parts]
over = threading.Event()
wrong = []

def read(intake, body):
    intake.messages.append(Message([b"c", b"", body], False))
    return [request.mark for request in intake.take(False)]

def new_intake():
    counters = Counters()
    return Intake(BrokerSettings(), Gate(Access(), counters), counters, wrong.append)

def read_batches():
    intake = new_intake()
    while not over.is_set():
        if read(intake, b"[" + b",".join(parts) + b"]") != wanted:
            wrong.append("other marks")

thread = threading.Thread(target=read_batches)
thread.start()
intake = new_intake()
for size in range(1000, 1_000_000, 2000):
    read(intake, b'{"method":"m","z":"%s","meta":{"id":"i"}}' % (b"z" * size))
over.set()
thread.join()
print(wrong[:1])
"""


def test_two_brokers_may_read_at_once_in_threads_of_one_process() -> None:
    """What one wrote its requests into was taken away by the other, which needed a larger one."""
    done = subprocess.run(
        [sys.executable, "-c", _TWO_THREADS], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")
