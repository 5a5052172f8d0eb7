"""The formats of the program's data, and the option that chooses one: for every verb the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

FORMATS = ("table", "json", "yaml")

_Command = TypeVar("_Command", bound=Callable[..., Any])


def output_option(function: _Command) -> _Command:
    """Give a command the option ``-o``, passed on as ``output``."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(FORMATS),
        help="How to write the data; a table on a terminal, JSON elsewhere, unless said.",
    )(function)
