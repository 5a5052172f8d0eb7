"""``vpoller host test``: does a host let us in, and what is it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from vpoller_like.errors import VPollerError
from workers.vsphere.hosts.configured import Configured
from workers.vsphere.params import About

#: Hosts that are tried at once.
_AT_ONCE = 16


def try_all(hosts: Sequence[Configured]) -> list[dict[str, Any]]:
    """Try hosts, and return a row for each, in their order."""
    # Imported by one thread, and only by who tries: pyVmomi is large.
    from workers.vsphere.agent import VSphereAgent

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(lambda host: _try(VSphereAgent, host), hosts))


def _try(kind: Any, host: Configured) -> dict[str, Any]:
    name, since = host.arguments["host"], time.monotonic()
    try:
        told = _ask(kind(**host.arguments))
    except VPollerError as error:
        reason = error.details.get("reason", error.code)
        return {"host": name, "ok": False, "reason": reason, "error": error.message}
    took = round((time.monotonic() - since) * 1000)
    return {"host": name, "ok": True, **told, "took_ms": took}


def _ask(agent: Any) -> dict[str, Any]:
    """Log in, return the product's name and versions, and log out."""
    agent.setup()
    try:
        agent.connect()
        (about,) = agent.about.function(About(properties=["version", "build", "apiVersion"]))
    finally:
        agent.teardown()
    return {
        "product": about["fullName"],
        "version": about["version"],
        "build": about["build"],
        "api_version": about["apiVersion"],
    }
