"""Writing a task's result, and saying which part of it cannot be written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import msgspec

from vpoller_like.errors import TaskFailed
from vpoller_like.protocol.encoding import JSON, Encoding, encode
from vpoller_like.protocol.reply import SUCCESS, Success, success

Hook = Callable[[Any], Any]

#: A part deeper than this is not looked for: the result contains itself.
_DEPTH = 40


class Writer:
    """Writes the envelopes of successes; from any number of threads at once.

    ``hook`` turns what JSON does not know into what it does.
    """

    __slots__ = ("_hook", "_write_json")

    def __init__(self, hook: Hook) -> None:
        self._hook = hook
        self._write_json = msgspec.json.Encoder(enc_hook=hook).encode

    def write(self, result: Any, msg: str, encoding: Encoding) -> bytes:
        """Raises ``TaskFailed`` that names the part of ``result`` that cannot be written."""
        try:
            if encoding is JSON:
                return self._write_json(Success(SUCCESS, msg, result))
            return success(result, msg, encoding, self._hook)
        except Exception as error:
            raise _unwritable(result, encoding, self._hook, error) from error


def _unwritable(result: Any, encoding: Encoding, hook: Hook, error: Exception) -> TaskFailed:
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
