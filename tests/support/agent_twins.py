"""Both sides of agents, the compiled one and the one in Python, given the same requests."""

from __future__ import annotations

import enum
import json
import logging
import random
from collections.abc import Callable
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Literal, NoReturn

import msgpack
import msgspec

from tests.support.twins import Load, as_they_are, in_python
from vpoller_like.errors import InvalidParams, NoAnswer, RequestError
from vpoller_like.protocol.encoding import JSON, MSGPACK
from vpoller_like.protocol.limits import MAX_HOSTNAME, MAX_METHOD

SECRET = "swordfish"


class Text(str):
    """A text that is more than one."""


class Colour(enum.Enum):
    """What a parameter may be one of."""

    RED = "red"


class Unwritable:
    """What only the agent's hook can write; in the way that it says."""

    def __init__(self, way: str) -> None:
        self.way = way


class Speechless(Exception):
    """Cannot say what it is."""

    def __str__(self) -> str:
        raise LookupError("no words")


class Beyond(BaseException):
    """What no ``except Exception`` sees."""


class Hint(msgspec.Struct, frozen=True):
    """A part of parameters."""

    flag: bool = False


class Side:
    """One of the two, with an agent for each of two hosts."""

    def __init__(self, load: Load) -> None:
        names = ("agent", "host", "task", "params", "answer", "bound", "reading", "writing")
        modules: list[Any] = load("agent", *names, "calling", "desk")
        self.agent, self.host, self.task, self.params, self.answer, *modules = modules
        self.bound, self.reading, self.writing, self.calling, self.desk = modules
        #: What tasks do, and what they were given.
        self.do: Callable[[Side, Any], Any] = lambda _side, msg: msg
        self.seen: list[str] = []
        self.kind = _kind(self)
        self.several = self.host.AgentHost([self.kind("a"), self.kind("b")])
        self.single = self.host.AgentHost([self.kind("a")])

    def run(self, msg: Any) -> Any:
        """Be the function of every task."""
        self.seen.append(f"{type(msg).__name__} {msg!r}")
        return self.do(self, msg)


def _kind(side: Side) -> Any:
    """Return an agent's class, with a task for each kind of parameters."""
    members: dict[str, Any] = {"name": "odd"}

    def init(self: Any, host: str) -> None:
        self.hostnames = [host]

    def encode_value(self: Any, value: Any) -> Any:
        if isinstance(value, Unwritable):
            return _WAYS[value.way]()
        return side.agent.Agent.encode_value(self, value)

    for name, shape in _shapes(side.params).items():

        def function(_self: Any, msg: Any) -> Any:
            return side.run(msg)

        function.__annotations__["msg"] = shape
        members[name] = side.task.task(f"odd.{name}", msg=f"did {name}")(function)
    members |= {"__init__": init, "encode_value": encode_value}
    return type("Odd", (side.agent.Agent,), members)


def _shapes(params: Any) -> dict[str, Any]:
    base, secret = params.Params, params.Secret

    class Prepared(base):  # type: ignore[misc]
        number: int = 0
        name: str = ""

        @classmethod
        def prepare(cls, given: dict[str, Any]) -> Any:
            match given.get("name"):
                case "refused":
                    raise InvalidParams("name: refused", field="name")
                case "broken":
                    raise msgspec.ValidationError("planted")
                case "mapping":
                    return MappingProxyType(given)
            return {"number": given.get("num"), **given}

    class Checked(base):  # type: ignore[misc]
        number: int = 0

        def __post_init__(self) -> None:
            if self.number < 0:
                raise ValueError(f"{self.number} is negative")
            if self.number > 9:
                raise OverflowError("too much")

    def struct(*fields: Any) -> Any:
        return msgspec.defstruct("Given", fields, bases=(base,), frozen=True)

    return {
        "plain": dict[str, Any],
        "any": Any,
        "typed": struct(
            ("number", int),
            ("names", list[str], []),
            ("inner", Hint | None, None),
            ("level", Literal["low", "high"], "low"),
            ("colour", Colour, Colour.RED),
        ),
        "nulls": struct(("number", int | None), ("name", str | None, "x"), ("names", Any, 1)),
        "keyed": struct(("table", dict[int, str], {}), ("name", str, "")),
        "secret": struct(("password", secret[str]), ("token", int, 0), ("name", str, "")),
        "helped": struct(("helper", str | None, None), ("name", str, "")),
        "prepared": Prepared,
        "checked": Checked,
    }


# What tasks do ------------------------------------------------------------------------------


def _raising(error: BaseException) -> Callable[..., NoReturn]:
    def fail(*_: Any) -> NoReturn:
        raise error.with_traceback(None)

    return fail


#: How a part of a result is written by the agent's hook.
_WAYS: dict[str, Callable[[], Any]] = {
    "text": lambda: "written",
    "another": lambda: Unwritable("text"),
    "itself": lambda: Unwritable("itself"),
    "refused": _raising(TypeError("not this one")),
    "busy": _raising(InvalidParams("not now", field="x")),
    "beyond": _raising(Beyond("in the hook")),
    "stop": _raising(KeyboardInterrupt(f"in the hook with {SECRET}")),
}


def _endless() -> list[Any]:
    found: list[Any] = [1]
    found.append(found)
    return found


def _recurse(side: Side, msg: Any) -> Any:
    return _recurse(side, msg)


def _take_apart(_side: Side, msg: Any) -> Any:
    if isinstance(msg, dict):
        kept = dict(msg)
        msg.clear()
        msg["helper"] = SECRET
        return kept
    return str(msg)


def _take_apart_and_fail(side: Side, msg: Any) -> Any:
    _take_apart(side, msg)
    raise ValueError(f"for {SECRET}")


RESULTS: list[Any] = [
    *(
        None,
        True,
        0,
        -1,
        1.5,
        "",
        "é",
        "\ud800",
        b"\xff\x00",
        1 << 63,
        1 << 64,
        1 << 80,
        -(1 << 70),
    ),
    *(float("nan"), float("inf"), [], {}, {1: 2}, {"a": {3}}, {"a": [1, {"b": object}]}, (1, 2)),
    *(Text("text"), Colour.RED, Decimal("1.5"), Hint(), _endless(), [Text("x"), {"k": 1 << 80}]),
    *({"k": Unwritable(way)} for way in _WAYS),
    {Text("k"): 1},
    {"a": 1, "b": {"c": [float("nan")]}},
    frozenset([1]),
    "x" * 300,
]
ERRORS: list[BaseException] = [
    ValueError("boom"),
    ValueError(f"no {SECRET} here", 3),
    ValueError(),
    InvalidParams("name: odd", field="name", known=[1, float("nan")]),
    InvalidParams(f"not {SECRET}", value=SECRET, huge=1 << 90, text="\ud800"),
    RequestError("said so"),
    NoAnswer("nobody"),
    KeyboardInterrupt(),
    KeyboardInterrupt(f"with {SECRET}", 3),
    SystemExit(3),
    SystemExit(f"with {SECRET}", None),
    GeneratorExit("out"),
    Beyond(f"with {SECRET}"),
    MemoryError(),
    RecursionError("deep"),
    OverflowError("wide"),
    msgspec.ValidationError("Expected `str`, got `int` - at `$.name`"),
    Speechless(),
    StopIteration(1),
]
DOINGS: list[Callable[[Side, Any], Any]] = [
    *[lambda _side, msg: msg] * 6,
    _take_apart,
    _take_apart_and_fail,
    _recurse,
    lambda side, msg: side.answer.Answer(msg, "an answer"),
    lambda side, _: side.answer.Answer(1, 5),
    lambda side, _: side.answer.Answer([1, object], "unwritable"),
    lambda side, _: side.answer.Answer(side.answer.Answer(1, "in"), "out"),
    lambda _side, msg: [msg] * 40,
]


def any_doing(dice: random.Random) -> Callable[[Side, Any], Any]:
    """Return what tasks are to do."""
    kind = dice.random()
    if kind < 0.5:
        return dice.choice(DOINGS)
    if kind < 0.75:
        result = dice.choice(RESULTS)
        return lambda _side, _msg: result
    return _raising(dice.choice(ERRORS))


# What they are asked ------------------------------------------------------------------------

_KINDS = ["plain", "any", "typed", "nulls", "keyed", "secret", "helped", "prepared", "checked"]
METHODS: list[Any] = [*(f"odd.{kind}" for kind in _KINDS)] * 15 + [
    *("odd.plan", "", "x" * MAX_METHOD, "x" * (MAX_METHOD + 1), None, 5, 1.5, ["odd.plain"], True),
]
HOSTNAMES: list[Any] = [
    *("a", "b", "a", "b", "c", "", "(null)", "null", None, 5, ["a"], True),
    *("x" * MAX_HOSTNAME, "x" * (MAX_HOSTNAME + 1), "é" * MAX_HOSTNAME),
]
METAS: list[Any] = [
    *(None, {}, {"id": "one"}, {"id": "one", "deadline_ms": 5000.0, "priority": 9}),
    *({"id": ""}, {"id": 5}, {"priority": 10}, {"age_ms": -1}, {"moved": None}, {"other": 1}),
    *(5, [], "meta", True, {"id": None, "age_ms": 1e12}, {"age_ms": 1 << 70}),
]
VALUES: list[Any] = [
    *(None, None, 1, 0, -1, 10, 3.0, 1e300, 1 << 63, 1 << 70, True, "", "text", "high", "red"),
    *("refused", "broken", "mapping", "null", SECRET, "é", [], ["a", "b"], ["a", 1], {}),
    *({"flag": True}, {"flag": 1}, {"1": "a"}, {"x": "a"}, {"password": SECRET}, [[None]]),
]
NAMES = ["number", "names", "inner", "level", "colour", "name", "table", "num", "data", ""]
SECRETS = ["password", "token", "api_key", "other_pwd"]
HELPERS: list[Any] = [None, "", "null", "nobody's", "(null)", 5, ["x"]]
LIMITS = [*[1 << 20] * 6, 0, 10, 60, 61, 150, 400]


def any_fields(dice: random.Random) -> dict[Any, Any]:
    """Return a request; most are about right."""
    fields: dict[Any, Any] = {}
    if dice.random() < 0.97:
        fields["method"] = dice.choice(METHODS)
    if dice.random() < 0.5:
        fields["hostname"] = dice.choice(HOSTNAMES[:4] if dice.random() < 0.8 else HOSTNAMES)
    if dice.random() < 0.3:
        fields["meta"] = dice.choice(METAS[:4] if dice.random() < 0.8 else METAS)
    if dice.random() < 0.5:
        # Just as declared: what else there is is told by chance.
        fields |= {"number": 1, "name": "text", "names": ["a"], "password": SECRET}
    for _ in range(dice.choice([0, 0, 1, 2, 3])):
        fields[dice.choice(NAMES)] = dice.choice(VALUES)
    if dice.random() < 0.2:
        fields[dice.choice(SECRETS)] = dice.choice([SECRET, None, 7, [SECRET]])
    if dice.random() < 0.15:
        fields["helper"] = dice.choice(HELPERS)
    items = list(fields.items())
    dice.shuffle(items)
    return dict(items)


def _in_json(dice: random.Random, fields: dict[Any, Any]) -> bytes:
    if dice.random() < 0.02:
        fields["data"] = dice.choice([float("nan"), float("inf"), -0.0, "\ud800"])
    text = json.dumps(fields, ensure_ascii=dice.random() < 0.8).encode("utf-8", "surrogatepass")
    if dice.random() < 0.05:
        # The same keys twice, and not with the same values.
        text = text[:-1] + b", " + json.dumps(any_fields(dice)).encode()[1:]
    return dice.choice([b"", b"", b"", b" ", b"\n\t"]) + text


def _in_messagepack(dice: random.Random, fields: dict[Any, Any]) -> bytes:
    for odd in (*VALUES, b"bytes"):
        if dice.random() < 0.01:
            fields[dice.choice(["data", b"data", "names"])] = odd
    if dice.random() < 0.05:
        fields["data"] = dice.choice([float("nan"), float("inf"), msgpack.ExtType(1, b"x")])
    try:
        packed: bytes = msgpack.packb(fields)
    except OverflowError:
        packed = msgpack.packb({"method": "odd.plain"})
    return packed


def _spoiled(dice: random.Random, body: bytes) -> bytes:
    whole = bytearray(body)
    kind = dice.random()
    if kind < 0.3:
        return body[: dice.randrange(len(body) + 1)]
    if kind < 0.6:
        whole[dice.randrange(len(whole))] = dice.randrange(256)
        return bytes(whole)
    if kind < 0.7:
        return body + dice.choice([b" ", b"x", b"{}", b"\x00"])
    return dice.choice([b"", b"{", b"[]", b"5", b"null", b'"text"', b"\x90", b"\xc0", b"[" * 9000])


def any_body(dice: random.Random) -> bytes:
    """Return a request as it arrives; some are none."""
    write = _in_json if dice.random() < 0.7 else _in_messagepack
    body = write(dice, any_fields(dice))
    return _spoiled(dice, body) if dice.random() < 0.05 else body


# What comes of it ---------------------------------------------------------------------------


class _Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[Any] = []

    def emit(self, record: logging.LogRecord) -> None:
        lines = record.getMessage().splitlines()
        # Between them is where it was raised, which is another place in C.
        self.lines.append([record.levelname, lines[0], lines[-1]])


def _told(call: Callable[[], Any]) -> Any:
    try:
        found = call()
    except BaseException as error:
        return [type(error), error.args, error.__cause__, error.__suppress_context__]
    return found if isinstance(found, dict) else [found.code, found.body]


def replies(side: Side, seed: int) -> list[Any]:
    """Give ``side`` the request that ``seed`` stands for; return all that can be seen of it."""
    dice = random.Random(seed)
    body, side.do, limit = any_body(dice), any_doing(dice), dice.choice(LIMITS)
    host = dice.choice([side.single, side.several])
    fields = any_fields(dice)
    encoding, bare = dice.choice([JSON, MSGPACK]), dice.random() < 0.5
    bound = getattr(side.kind("a"), dice.choice(_KINDS))
    heard = _Heard()
    log = logging.getLogger("vpoller.agent")
    log.addHandler(heard)
    log.propagate = False
    side.seen.clear()
    try:
        outcomes = [_told(lambda: host.execute(body, limit))]
        if dice.random() < 0.2:
            outcomes.append(_told(lambda: host.execute(bytearray(body), limit)))
            outcomes.append(_told(lambda: host.call(dict(fields))))
            outcomes.append(_told(lambda: bound(dict(fields))))
            outcomes.append(_told(lambda: bound.run(dict(fields), encoding, limit, bare)))
    finally:
        log.removeHandler(heard)
        log.propagate = True
    return [body, outcomes, list(side.seen), heard.lines]


BOTH = (Side(as_they_are), Side(in_python))
