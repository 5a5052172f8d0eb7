"""A package's modules a second time, all of them in Python, beside the compiled ones."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from unittest.mock import patch

import vpoller_like
from vpoller_like.sources import PURE_VARIABLE

#: Loads modules of a package: its name, and theirs in it.
Load = Callable[..., list[ModuleType]]


def _take_out(package: str) -> dict[str, ModuleType]:
    names = [n for n in sys.modules if n == package or n.startswith(f"{package}.")]
    return {name: sys.modules.pop(name) for name in names}


@contextmanager
def _anew(name: str) -> Iterator[None]:
    """Have modules of this package be imported anew, and nobody else know of those."""
    known = _take_out(f"vpoller_like.{name}")
    package = vpoller_like.__dict__.get(name)
    try:
        yield
    finally:
        _take_out(f"vpoller_like.{name}")
        sys.modules.update(known)
        if package is not None:
            vpoller_like.__dict__[name] = package


def in_python(package: str, *names: str) -> list[ModuleType]:
    """Return these modules of ``package``, of one set in which nothing is compiled."""
    with _anew(package), patch.dict(os.environ, {PURE_VARIABLE: "1"}):
        return as_they_are(package, *names)


def as_they_are(package: str, *names: str) -> list[ModuleType]:
    """Return these modules of ``package`` as everybody imports them."""
    return [import_module(f"vpoller_like.{package}.{name}") for name in names]
