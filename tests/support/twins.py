"""The broker's modules a second time, all of them in Python, beside the compiled ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from unittest.mock import patch

import vpoller_like
from vpoller_like.sources import PURE_VARIABLE

_PACKAGE = "vpoller_like.broker"


def _take_out() -> dict[str, ModuleType]:
    names = [n for n in sys.modules if n == _PACKAGE or n.startswith(f"{_PACKAGE}.")]
    return {name: sys.modules.pop(name) for name in names}


@contextmanager
def _anew() -> Iterator[None]:
    """Have modules of the broker be imported anew, and nobody else know of those."""
    known = _take_out()
    package = vpoller_like.__dict__.get("broker")
    try:
        yield
    finally:
        _take_out()
        sys.modules.update(known)
        if package is not None:
            vpoller_like.__dict__["broker"] = package


def in_python(*names: str) -> list[ModuleType]:
    """Return these modules of the broker, of one set in which nothing is compiled."""
    with _anew(), patch.dict(os.environ, {PURE_VARIABLE: "1"}):
        return [import_module(f"{_PACKAGE}.{name}") for name in names]


def as_they_are(*names: str) -> list[ModuleType]:
    """Return these modules as everybody imports them."""
    return [import_module(f"{_PACKAGE}.{name}") for name in names]
