"""What is there twice: in Python, and in C for its speed.

A package's extension ``_hot`` has twins of some of its classes and functions: they do the same,
to the letter. It is optional, as the transport's is, and by the same switch: ``VPOLLER_PURE=1`` in
the environment leaves it alone. All of a package's twins run, or none does.
"""

from __future__ import annotations

import importlib
import os
import zlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from vpoller_like.sources import PURE_VARIABLE

#: What an extension calls what it offers. A file of another version may be left from a build.
_INTERFACE = 1

Plain = TypeVar("Plain", bound=Callable[..., Any])


class Twins:
    """What of ``package`` is there twice, by ``names``.

    ``kind`` is which ones run, ``c`` or ``pure``; ``reason``, why it is not the extension's.
    """

    def __init__(self, package: str, names: Iterable[str]) -> None:
        self.names = frozenset(names)
        self._package = package
        self.kind, self.reason, self._extension = self._choose()

    def compiled(self, plain: Plain) -> Plain:
        """Return what takes the place of ``plain``, a class or a function; it where nothing does.

        Raises ``LookupError`` for one that ``names`` lacks: nobody would miss it in the extension.
        """
        if plain.__name__ not in self.names:
            raise LookupError(f"{plain.__name__} is not among the twins of {self._package}")
        if self._extension is None:
            return plain
        twin: Plain = getattr(self._extension, plain.__name__)
        return twin

    def extension(self) -> Any:
        """Return the extension; ``ImportError`` says why it is not there, or not to be used."""
        try:
            module = importlib.import_module(f"{self._package}._hot")
        except ImportError:
            raise
        except Exception as error:
            # One of an older source may fail at what the modules that it imports have no more.
            reason = f"the extension failed: {error!r}; install vpoller-like anew"
            raise ImportError(reason) from error
        if self._is_stale(module):
            raise ImportError("the extension is of another version: install vpoller-like anew")
        return module

    def source_digest(self) -> str | None:
        """Return the digest of the extension's source, as setup.py writes it into the extension.

        ``None`` where the source is not here: what is installed from a wheel was built with it.
        """
        folder = os.path.join(os.path.dirname(__file__), *self._package.split(".")[1:])
        digest = 0
        try:
            for path in (os.path.join(folder, "_hot.pyx"), *_parts(os.path.join(folder, "hot"))):
                with open(path, "rb") as source:
                    digest = zlib.crc32(source.read(), digest)
        except OSError:
            return None
        return f"{digest:08x}"

    def _is_stale(self, module: Any) -> bool:
        digest = self.source_digest()
        return (
            getattr(module, "INTERFACE", None) != _INTERFACE
            or (digest is not None and getattr(module, "SOURCE", None) != digest)
            or any(not hasattr(module, name) for name in self.names)
        )

    def _choose(self) -> tuple[str, str, Any]:
        if os.environ.get(PURE_VARIABLE, "0") not in ("", "0"):
            return "pure", f"{PURE_VARIABLE} is set", None
        try:
            return "c", "", self.extension()
        except ImportError as error:
            return "pure", str(error), None


def _parts(folder: str) -> list[str]:
    """Return the parts of an extension's source, in the order in which its digest has them."""
    try:
        names = sorted(os.listdir(folder))
    except FileNotFoundError:
        return []
    return [os.path.join(folder, name) for name in names if name.endswith(".pxi")]
