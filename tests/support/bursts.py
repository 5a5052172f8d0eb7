"""The two ways to read and write a socket in bursts."""

from __future__ import annotations

import ctypes
import importlib
from pathlib import Path
from typing import Any

import pytest

from tests.support.extensions import need
from tests.support.toolchains import shared_library
from vpoller_like.transport import burst
from vpoller_like.transport.message import Message, Sent

_SOURCE = Path(__file__).with_name("fake_libzmq.c")


def need_extension() -> Any:
    """Return the C extension; without one, fail where it could have been built."""
    return need(burst.extension)


def use(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have ports opened from now on read and write by ``kind``."""
    if kind == "c":
        monkeypatch.setattr(burst, "_EXTENSION", need_extension())
    monkeypatch.setattr(burst, "KIND", kind)


class FakeLibzmq:
    """A libzmq that fails when it is told to (``fake_libzmq.c``), and a C socket of it."""

    def __init__(self) -> None:
        c_socket, _ = need_extension()
        path = shared_library(_SOURCE)
        self._library = ctypes.CDLL(path)
        self._library.fake_sent.restype = ctypes.c_char_p
        self._library.fake_reset()
        self._kept: list[bytes] = []
        self._socket = c_socket
        self._bound = importlib.import_module(c_socket.__module__).Library(
            path,
            message=Message,
            done=Sent.DONE,
            full=Sent.FULL,
            gone=Sent.GONE,
            error=burst.error_of,
            burst_bytes=1000,
            burst_skips=10,
        )

    def socket(self, *, routed: bool) -> Any:
        """Return a socket; all of them are one."""
        return self._socket(self._bound, id(self), routed)

    def reset(self) -> None:
        """Forget what is queued and was sent; calls go well."""
        self._library.fake_reset()

    def script(self, letters: str) -> None:
        """Say how the next calls go; see ``fake_libzmq.c``."""
        self._library.fake_script(self._keep(letters.encode()))

    def put(self, *frames: bytes, user: bytes | None = None) -> None:
        """Queue a message to be received."""
        for index, frame in enumerate(frames):
            shown = None if user is None else self._keep(user)
            self._library.fake_put(frame, index + 1 < len(frames), shown)

    def short_of_memory(self, yes: bool) -> None:
        """Let no message be allocated."""
        self._library.fake_short_of_memory(yes)

    @property
    def sent(self) -> str:
        """Frames that were sent, each with ``+`` or, the last of a message, a line's end."""
        shown: bytes = self._library.fake_sent()
        return shown.decode()

    @property
    def made(self) -> int:
        """How many messages were allocated."""
        return int(self._library.fake_made())

    @property
    def open(self) -> int:
        """How many messages were not closed."""
        return int(self._library.fake_open())

    def _keep(self, text: bytes) -> bytes:
        # C has only its address.
        self._kept.append(text)
        return text
