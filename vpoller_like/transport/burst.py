"""Many messages to or from a socket in one call: by the C extension, or in pure Python.

Both do the same. The extension is optional: it is there where a compiler was when vpoller
was installed, and works where pyzmq has loaded a libzmq that it knows. ``VPOLLER_PURE=1`` in the
environment leaves it alone.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from typing import Any, Protocol

import zmq
import zmq.backend

from vpoller_like.sources import PURE_VARIABLE
from vpoller_like.transport.message import Message, Sent
from vpoller_like.transport.pure import BURST_BYTES, SKIPPED_PER_TURN, PureSocket

#: What the extension calls what it offers. A file of another version may be left from a build.
_INTERFACE = 3


class Socket(Protocol):
    """What both offer: a socket that serves one thread at a time, and never blocks.

    Raises ``zmq.ZMQError`` for what neither a full queue nor a missing peer explains.
    """

    def receive(self, count: int, max_frames: int, asks_users: bool) -> tuple[list[Message], bool]:
        """Take up to ``count`` messages; the second value says that there may be more.

        Of each message ``max_frames`` frames are kept. It ends at ``BURST_BYTES``, too, and when
        ``SKIPPED_PER_TURN`` surplus frames were thrown away; a message of more than that comes
        with a later call. With ``asks_users`` messages say whose they are.
        """

    def send(self, frames: Sequence[bytes]) -> Sent:
        """Send a message whole, or not at all."""

    def send_all(self, messages: Sequence[Sequence[bytes]]) -> list[Sent]:
        """Send each message whole or not at all; one peer's messages keep their order.

        So after one that found its peer's queue full, that peer's others are not tried.
        """

    def pending(self) -> bool:
        """Say whether there is something to receive. The descriptor tells of changes after this."""

    def look(self) -> tuple[bool, bool]:
        """Say what :meth:`pending` does, and whether a message could be sent to somebody."""

    def close(self) -> None:
        """Use the socket no more; it is not closed by this."""


def extension() -> Any:
    """Return the C extension, bound to pyzmq's libzmq; ``ImportError`` says why it is not there."""
    module = importlib.import_module("vpoller_like.transport._burst")
    if getattr(module, "INTERFACE", None) != _INTERFACE:
        raise ImportError("the extension is of another version: install vpoller-like anew")
    # pyzmq's own extension, or what it loads, has libzmq's functions.
    backend = importlib.import_module("zmq.backend.cython._zmq")
    library = module.Library(
        backend.__file__,
        message=Message,
        done=Sent.DONE,
        full=Sent.FULL,
        gone=Sent.GONE,
        error=error_of,
        burst_bytes=BURST_BYTES,
        burst_skips=SKIPPED_PER_TURN,
    )
    return module.Socket, library


def error_of(number: int) -> zmq.ZMQError:
    """Return what pyzmq raises for an error of this number."""
    if number == zmq.ETERM:
        return zmq.ContextTerminated()
    return zmq.ZMQError(number)


def _choose() -> tuple[str, str, Any]:
    if os.environ.get(PURE_VARIABLE, "0") not in ("", "0"):
        return "pure", f"{PURE_VARIABLE} is set", None
    try:
        return "c", "", extension()
    except (ImportError, AttributeError) as error:
        return "pure", str(error), None


#: Which one runs, ``c`` or ``pure``; and why it is not the extension.
KIND, REASON, _EXTENSION = _choose()


def open_socket(base: Any, routed: bool) -> Socket:
    """Return what reads and writes ``base``, a socket of pyzmq's backend.

    ``routed`` says that it is a ROUTER. Whoever calls keeps ``base`` open.
    """
    if KIND == "pure":
        return PureSocket(base, routed)
    c_socket, library = _EXTENSION
    socket: Socket = c_socket(library, base.underlying, routed)
    return socket
