"""What is there twice: in Python, and in C for the broker's speed.

Where the extension ``_hot`` runs, its classes and functions take the place of those of the same
names: they do the same, to the letter. It is optional, as the transport's is, and by the same
switch: ``VPOLLER_PURE=1`` in the environment leaves it alone. All of it runs, or nothing does.
"""

from __future__ import annotations

import importlib
import os
import zlib
from collections.abc import Callable
from typing import Any, TypeVar

from vpoller_like.sources import PURE_VARIABLE

#: What the extension calls what it offers. A file of another version may be left from a build.
_INTERFACE = 1

#: Every class and function that is there twice.
NAMES = frozenset(
    {
        "Counters",
        "Entrance",
        "FairQueue",
        "Flow",
        "Give",
        "Memory",
        "Pool",
        "Quota",
        "Remembered",
        "Reply",
        "Request",
        "Route",
        "Task",
        "Timetable",
        "Worker",
        "handle_each",
        "reply_messages",
        "take_usual",
    }
)

Plain = TypeVar("Plain", bound=Callable[..., Any])


def extension() -> Any:
    """Return the extension; ``ImportError`` says why it is not there, or not to be used."""
    try:
        module = importlib.import_module("vpoller_like.broker._hot")
    except ImportError:
        raise
    except Exception as error:
        # One of an older source may fail at whatever the modules that it imports have no more.
        raise ImportError(f"the extension failed: {error!r}; install vpoller-like anew") from error
    if _is_stale(module):
        raise ImportError("the extension is of another version: install vpoller-like anew")
    return module


def _is_stale(module: Any) -> bool:
    digest = source_digest()
    return (
        getattr(module, "INTERFACE", None) != _INTERFACE
        or (digest is not None and getattr(module, "SOURCE", None) != digest)
        or any(not hasattr(module, name) for name in NAMES)
    )


def source_digest() -> str | None:
    """Return the digest of the extension's source, as setup.py writes it into the extension.

    ``None`` where the source is not here: what is installed from a wheel was built with it.
    """
    try:
        with open(os.path.join(os.path.dirname(__file__), "_hot.pyx"), "rb") as source:
            return f"{zlib.crc32(source.read()):08x}"
    except OSError:
        return None


def _choose() -> tuple[str, str, Any]:
    if os.environ.get(PURE_VARIABLE, "0") not in ("", "0"):
        return "pure", f"{PURE_VARIABLE} is set", None
    try:
        return "c", "", extension()
    except ImportError as error:
        return "pure", str(error), None


#: Which ones run, ``c`` or ``pure``; and why it is not the extension's.
KIND, REASON, _EXTENSION = _choose()


def compiled(plain: Plain) -> Plain:
    """Return what takes the place of ``plain``, a class or a function; it where nothing does.

    Raises ``LookupError`` for one that ``NAMES`` lacks: it would not be missed in the extension.
    """
    if plain.__name__ not in NAMES:
        raise LookupError(f"{plain.__name__} is not in compiled.NAMES")
    if _EXTENSION is None:
        return plain
    twin: Plain = getattr(_EXTENSION, plain.__name__)
    return twin
