"""Asking: the same surface over the network, in asyncio, and in this process.

::

    client = VPollerClient(endpoint="tcp://localhost:10123")
    envelope = client.run({"method": "vm.discover", "hostname": "vc01.example.org"})
    result = client.call("vm.get", "vc01.example.org", name="vm01", properties=["name"])

Each client is loaded when it is first named: a program pays for what it uses.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vpoller_like.client.aio import AsyncVPollerClient
    from vpoller_like.client.local import LocalClient
    from vpoller_like.client.sync import VPollerClient

__all__ = ["AsyncVPollerClient", "LocalClient", "VPollerClient"]

_MODULES = {"AsyncVPollerClient": "aio", "LocalClient": "local", "VPollerClient": "sync"}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)
