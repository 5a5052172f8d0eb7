"""The reply for programs in C that print what they receive, such as vPoller's client in C."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


def cclient(method: str, params: Mapping[str, Any], envelope: Mapping[str, Any]) -> str:  # noqa: ARG001
    """Return the whole reply, an error's too, as JSON with a NUL at the end."""
    return msgspec.json.encode(dict(envelope)).decode() + "\0"
