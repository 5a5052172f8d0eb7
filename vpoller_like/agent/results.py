"""Saying which part of a task's result cannot be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from vpoller_like.errors import TaskFailed
from vpoller_like.protocol.encoding import Encoding, encode

Hook = Callable[[Any], Any]

#: A part deeper than this is not looked for: the result contains itself.
_DEPTH = 40


def unwritable(result: Any, encoding: Encoding, hook: Hook, error: Exception) -> TaskFailed:
    """Return the answer that names the part of ``result`` for which ``error`` was raised."""
    path = _culprit(result, lambda part: _fails(part, encoding, hook))
    reason = str(error) or type(error).__name__
    return TaskFailed(f"Cannot serialize result: {path}: {reason}", exception=type(error).__name__)


def _culprit(value: Any, fails: Callable[[Any], bool]) -> str:
    path = "result"
    for _ in range(_DEPTH):
        bad = next(((step, part) for step, part in _children(value) if fails(part)), None)
        if bad is None:
            return path
        step, value = bad
        path += step
    return "result"


def _fails(value: Any, encoding: Encoding, hook: Hook) -> bool:
    try:
        encode(value, encoding, hook)
    except Exception:
        return True
    return False


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, msgspec.Struct):
        value = {name: getattr(value, name) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        yield from ((f".{key}", part) for key, part in value.items())
    elif isinstance(value, list | tuple):
        yield from ((f"[{index}]", part) for index, part in enumerate(value))
