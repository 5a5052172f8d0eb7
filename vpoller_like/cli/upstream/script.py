"""What vPoller's programs have in common: flags, and their way to answer."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from vpoller_like import __version__
from vpoller_like.cli.exits import Exit
from vpoller_like.cli.failure import fail
from vpoller_like.cli.output import emit_text

_Command = TypeVar("_Command", bound=Callable[..., Any])

#: What ``click`` is told for each of the programs.
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


def common_options(function: _Command) -> _Command:
    """Give a command ``-d`` and ``-v``, as each of the programs has them."""
    version = click.version_option(
        __version__, "-v", "--version", message="%(version)s", help="Display version and exit."
    )
    debug = click.option("-d", "--debug", is_flag=True, help="Log more, to stderr.")
    return version(debug(function))


def answer(reply: Mapping[str, Any]) -> Exit:
    """Write the reply to stdout as vPoller does, an error too; say it on stderr as well."""
    # Nobody has asked for meta.
    shown = {key: value for key, value in reply.items() if key != "meta"}
    emit_text(json.dumps(shown, ensure_ascii=False))
    return Exit.OK if reply.get("success") == 0 else fail(reply)
