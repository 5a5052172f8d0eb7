"""The output of a command that a user named, such as one that prints a password."""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import IO


class TooMuch(Exception):
    """The command printed more than it may."""


def of_command(command: Sequence[str], seconds: float, limit: int) -> tuple[int, bytes]:
    """Run ``command``, without a shell; return its exit status and what it wrote to stdout.

    Its stdin and stderr are closed to it. Raises ``OSError`` where it cannot be started,
    ``TimeoutError`` after ``seconds`` and ``TooMuch`` beyond ``limit`` bytes; it, and all
    that it has started, is killed then.
    """
    ends = time.monotonic() + seconds
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert process.stdout is not None
    with process.stdout as pipe:
        try:
            data = _read(pipe, ends, limit)
            return process.wait(max(0.0, ends - time.monotonic())), data
        except subprocess.TimeoutExpired:
            raise TimeoutError from None
        finally:
            _end(process)


def _read(pipe: IO[bytes], ends: float, limit: int) -> bytes:
    data = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while selector.select(max(0.0, ends - time.monotonic())):
            more = os.read(pipe.fileno(), limit + 1)
            data += more
            if not more:
                return data
            if len(data) > limit:
                raise TooMuch
    raise TimeoutError


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a command that still runs, with what it has started; its name is its group's."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
