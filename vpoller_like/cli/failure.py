"""A reply that is no success, told on stderr."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from vpoller_like.cli.exits import Exit, exit_for
from vpoller_like.cli.output import note


def fail(reply: Mapping[str, Any]) -> Exit:
    """Say the error of ``reply`` in one sentence; return the exit code."""
    error = reply.get("error")
    details = error if isinstance(error, Mapping) else {}
    note(f"Error: {details.get('detail') or reply.get('msg') or 'the task failed'}")
    return exit_for(str(details.get("code", "")), details)
