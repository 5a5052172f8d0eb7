"""Spoiling real messages: bytes changed, values replaced, frames added and left out.

Everything comes from the ``random.Random`` handed in, so the same seed spoils alike.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgpack

#: What stands for something in JSON or MessagePack, or is a limit of some number.
TOKENS: tuple[bytes, ...] = (
    *(
        bytes([byte])
        for byte in b'\x00\x7f\x80\x81\x8f\x90\x91\x9f\xa0\xa1\xbf\xc0\xc1\xc2\xc4\xff"'
    ),
    *(bytes([byte]) for byte in b"{}[],:\\ \n-+.eE0x"),
    b"\xc7\x08\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    b"\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00",
    b"\xcf" + b"\xff" * 8,
    b"\xd3\x80" + bytes(7),
    b"\xd6\xff\xff\xff\xff\xff",
    b"\xdc\xff\xff",
    b"\xdd\xff\xff\xff\xff",
    b"\xde\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xdb\xff\xff\xff\xff",
    b"\xed\xa0\x80",
    b"\xef\xbb\xbf",
    b"\\u0000",
    b"\\ud800",
    b"NaN",
    b"1e999",
    b"-0",
    b"9" * 400,
    b'"meta":',
    b'"method":"other",',
    b'"id":"x",',
    b"[" * 64,
    b"\x91" * 64,
    b'{"a":' * 64,
)


def _nested(depth: int) -> Any:
    value: Any = None
    for _ in range(depth):
        value = [value]
    return value


#: Values that a field was not made for.
ODD: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    127,
    1 << 20,
    (1 << 20) + 1,
    (1 << 31) - 1,
    1 << 53,
    (1 << 63) - 1,
    1 << 63,
    (1 << 64) - 1,
    -(1 << 63),
    0.5,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "x",
    "y",
    "é\u0000\u2028",
    "x" * 128,
    "x" * 129,
    "x" * 300,
    b"",
    b"\xff" * 16,
    b"\xff" * 65,
    [],
    {},
    [[]],
    {"": None},
    {"x": {"x": {}}},
    [0] * 40,
    _nested(20),
    _nested(400),
)


class Mutator:
    """Makes variants of the bodies in ``originals``, each in JSON or in MessagePack."""

    def __init__(self, originals: Sequence[bytes]) -> None:
        self._originals = list(originals)
        self._trees = [(_tree(body), _writer(body)) for body in originals]
        self._changes: tuple[Callable[[bytearray, random.Random], None], ...] = (
            _set_byte,
            _set_byte,
            _insert,
            _insert,
            _remove,
            _repeat,
            _cut,
            self._splice,
        )

    def draw(self, rng: random.Random) -> bytes:
        """Return a variant; one in sixteen is an original as it was."""
        kind = rng.random()
        if kind < 0.0625:
            return rng.choice(self._originals)
        if kind < 0.5:
            return self._spoiled_bytes(rng, rng.choice(self._originals))
        tree, write = rng.choice(self._trees)
        for _ in range(1 + int(rng.random() * 2.5)):
            tree = _changed(tree, rng)
        text = write(tree)
        return self._spoiled_bytes(rng, text) if kind > 0.95 else text

    def _spoiled_bytes(self, rng: random.Random, original: bytes) -> bytes:
        data = bytearray(original)
        for _ in range(1 + int(rng.random() * 3)):
            rng.choice(self._changes)(data, rng)
        return bytes(data)

    def _splice(self, data: bytearray, rng: random.Random) -> None:
        other = rng.choice(self._originals)
        start = int(rng.random() * (len(other) + 1))
        data[int(rng.random() * (len(data) + 1)) :] = other[start:]


def spoiled_frames(frames: Sequence[bytes], rng: random.Random) -> list[bytes]:
    """Return ``frames`` with one of them doubled, emptied, left out, or some more of them."""
    found = list(frames)
    where = int(rng.random() * (len(found) + 1))
    kind = rng.random()
    if kind < 0.3:
        found.insert(where, rng.choice((b"", b"\x00", b"x", *frames)))
    elif kind < 0.5:
        found[where : where + 1] = [b""]
    elif kind < 0.7:
        del found[where : where + 1]
    elif kind < 0.8:
        found[where:where] = [b"x"] * int(rng.random() * 14)
    elif kind < 0.9:
        rng.shuffle(found)
    else:
        found *= 2
    return found


def _set_byte(data: bytearray, rng: random.Random) -> None:
    if data:
        data[int(rng.random() * len(data))] = int(rng.random() * 256)


def _insert(data: bytearray, rng: random.Random) -> None:
    where = int(rng.random() * (len(data) + 1))
    data[where:where] = rng.choice(TOKENS)


def _remove(data: bytearray, rng: random.Random) -> None:
    where = int(rng.random() * (len(data) + 1))
    del data[where : where + 1 + int(rng.random() * 6)]


def _repeat(data: bytearray, rng: random.Random) -> None:
    where = int(rng.random() * (len(data) + 1))
    piece = data[where : where + 1 + int(rng.random() * 24)]
    data[where:where] = piece * (1 + int(rng.random() * 8))


def _cut(data: bytearray, rng: random.Random) -> None:
    del data[int(rng.random() * (len(data) + 1)) :]


def _changed(node: Any, rng: random.Random) -> Any:
    """Return ``node`` with something in it replaced, left out, doubled or added."""
    if not isinstance(node, dict | list) or not node or rng.random() < 0.12:
        return rng.choice(ODD)
    entries = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    key, inner = entries[int(rng.random() * len(entries))]
    kind = rng.random()
    if isinstance(node, list):
        return _changed_list(node, key, kind, rng)
    found = dict(node)
    if kind < 0.1:
        del found[key]
    elif kind < 0.2:
        found[rng.choice(("x", "", "meta", "method", "k" * 200))] = rng.choice(ODD)
    elif kind < 0.4:
        found[key] = rng.choice(ODD)
    else:
        found[key] = _changed(inner, rng)
    return found


def _changed_list(node: list[Any], index: int, kind: float, rng: random.Random) -> list[Any]:
    found = list(node)
    if kind < 0.1:
        del found[index]
    elif kind < 0.2:
        found.insert(index, rng.choice(ODD))
    elif kind < 0.25:
        found *= 1 + int(rng.random() * 20)
    elif kind < 0.45:
        found[index] = rng.choice(ODD)
    else:
        found[index] = _changed(found[index], rng)
    return found


def _tree(body: bytes) -> Any:
    if body[:1] in b"{[":
        return json.loads(body)
    return msgpack.unpackb(body, strict_map_key=False)


def _writer(body: bytes) -> Callable[[Any], bytes]:
    return _json if body[:1] in b"{[" else _msgpack


def _json(value: Any) -> bytes:
    return json.dumps(value, default=repr, ensure_ascii=False).encode()


def _msgpack(value: Any) -> bytes:
    packed: bytes = msgpack.packb(value, use_bin_type=True)
    return packed
