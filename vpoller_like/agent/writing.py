"""Writing a task's result."""

from __future__ import annotations

import msgspec

from vpoller_like.agent.compiled import compiled
from vpoller_like.agent.results import Hook, unwritable
from vpoller_like.protocol.encoding import JSON, Encoding
from vpoller_like.protocol.reply import SUCCESS, Success, success


@compiled
class Writer:
    """Writes the envelopes of successes; from any number of threads at once.

    ``hook`` turns what JSON does not know into what it does.
    """

    __slots__ = ("_hook", "_write_json")

    def __init__(self, hook: Hook) -> None:
        self._hook = hook
        self._write_json = msgspec.json.Encoder(enc_hook=hook).encode

    def write(self, result: object, msg: str, encoding: Encoding) -> bytes:
        """Raises ``TaskFailed`` that names the part of ``result`` that cannot be written."""
        try:
            if encoding is JSON:
                return self._write_json(Success(SUCCESS, msg, result))
            return success(result, msg, encoding, self._hook)
        except Exception as error:
            raise unwritable(result, encoding, self._hook, error) from error
