"""The flags for where a broker's doors are, for the verbs that start one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: Each flag's door, in the order of the help, and what comes in there.
_DOORS = {
    "frontend": "Where clients ask.",
    "backend": "Where workers register.",
    "plain": "Where plain REP workers connect.",
    "admin": "Where `vpoller status` and its like ask.",
}


def door_options(function: _Command) -> _Command:
    """Give a command ``--frontend``, ``--backend``, ``--plain`` and ``--admin``."""
    for door, purpose in reversed(_DOORS.items()):
        function = click.option(f"--{door}", metavar="EP", help=purpose)(function)
    return function
