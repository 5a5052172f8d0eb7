"""A result with a message of its own."""

from __future__ import annotations

from typing import Any

import msgspec


class Answer(msgspec.Struct, frozen=True):
    """What a task returns to set the reply's ``msg`` for this one call.

    ``result`` is anything that can be encoded; ``msg`` is one sentence.
    """

    result: Any
    msg: str
