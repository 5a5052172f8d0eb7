"""What the admin endpoint tells of the core. All durations are milliseconds."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from vpoller_like import __version__
from vpoller_like.broker import compiled
from vpoller_like.broker.core import BrokerCore
from vpoller_like.broker.named import process_of
from vpoller_like.broker.routing import Pool
from vpoller_like.broker.state import State
from vpoller_like.broker.worker import Worker
from vpoller_like.protocol.worker import Method, Offer
from vpoller_like.transport import burst


def status(
    core: BrokerCore,
    endpoints: dict[str, str],
    now: float,
    outside: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The broker as a whole; ``outside`` is what is used of limits that the core knows not."""
    return {
        "version": __version__,
        "transport": burst.KIND,
        "core": compiled.TWINS.kind,
        "pid": os.getpid(),
        "epoch": core.epoch,
        "clock_s": round(time.time(), 3),
        "uptime_s": round(now - core.started, 3),
        "draining": core.draining,
        "endpoints": endpoints,
        "workers": len(core.roster.workers),
        "processes": _processes(core),
        "plain_workers": core.plain.peers,
        "queued": core.dispatcher.queued,
        "queued_bytes": core.dispatcher.queued_bytes,
        "running": sum(len(w.tasks) for w in core.roster.workers.values()),
        "plain": len(core.plain),
        "remembered": len(core.memory),
        "remembered_bytes": core.memory.bytes,
        "counters": {**core.counters.as_dict(), "evicted": core.memory.evicted},
        "limits": msgspec.to_builtins(core.settings),
        "usage": {**_usage(core), **(outside or {})},
    }


def _processes(core: BrokerCore) -> int:
    """How many processes the workers are in: one that serves several hosts is several."""
    return len({(process_of(w.label), w.pid) for w in core.roster.workers.values()})


def _usage(core: BrokerCore) -> dict[str, Any]:
    """What is used of each limit that has a use, by the limit's name."""
    dispatcher, memory = core.dispatcher, core.memory
    longest = max((len(route.queue) for route in core.directory.routes.values()), default=0)
    quota = dispatcher.quota
    return {
        "queue_length": {"now": longest, "peak": dispatcher.longest_queue},
        "queue_bytes": {"now": quota.bytes, "peak": quota.peak_bytes},
        "max_in_flight": {"now": quota.most, "peak": quota.peak},
        "max_searches": {"now": core.seekers.load, "peak": core.seekers.peak},
        "remember_count": {"now": len(memory), "peak": memory.peak},
        "remember_bytes": {"now": memory.bytes, "peak": memory.peak_bytes},
    }


def workers(core: BrokerCore, now: float) -> list[dict[str, Any]]:
    """Every registered worker, by label."""
    found = sorted(core.roster.workers.values(), key=lambda w: w.label)
    return [_worker(worker, now) for worker in found]


def _worker(worker: Worker, now: float) -> dict[str, Any]:
    # Not its instance: without CURVE, who knows that can take the worker's place.
    return {
        "label": worker.label,
        "pid": worker.pid,
        "key": worker.key or None,
        "state": "draining" if worker.draining else "ready",
        "methods": len(worker.pool.methods),
        "hosts": _hosts(worker.pool),
        "slots": worker.slots,
        "ahead": worker.ahead,
        "held": len(worker.tasks),
        "done": worker.done,
        "returned": worker.returned,
        "last_seen_ms": round((now - worker.last_heard) * 1000),
    }


def _hosts(pool: Pool) -> list[str] | None:
    if any(offer.hosts is None for offer in pool.offers):
        return None
    return sorted({host for offer in pool.offers for host in offer.hosts or ()})


def methods(core: BrokerCore, name: str | None = None) -> list[dict[str, Any]]:
    """Every method that is served, with its parameters; or the one called ``name``."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for pool in core.directory.pools:
        counted = set()
        for offer, method in _served(pool, name):
            key = (method.name, offer.agent)
            entry = found.setdefault(key, _method(method, offer))
            _add_hosts(entry, offer)
            if key not in counted:
                counted.add(key)
                entry["workers"] += len(pool.workers)
    waiting = _waiting_by_method(core)
    for entry in found.values():
        entry["queued"] = waiting.get(entry["method"], 0)
    return [found[key] for key in sorted(found)]


def _served(pool: Pool, name: str | None) -> Iterator[tuple[Offer, Method]]:
    for offer in pool.offers:
        for method in offer.methods:
            if name in (None, method.name):
                yield offer, method


def _method(method: Method, offer: Offer) -> dict[str, Any]:
    return {
        "method": method.name,
        "agent": offer.agent,
        "hosts": [],
        "retry_safe": method.retry_safe,
        "timeout_ms": method.timeout_ms,
        "doc": method.doc,
        "params": [_param(param) for param in method.params],
        "workers": 0,
    }


def _param(param: Any) -> dict[str, Any]:
    return dict(msgspec.structs.asdict(param))


def _add_hosts(entry: dict[str, Any], offer: Offer) -> None:
    if offer.hosts is None or entry["hosts"] is None:
        entry["hosts"] = None
    else:
        entry["hosts"] = sorted({*entry["hosts"], *offer.hosts})


def _waiting_by_method(core: BrokerCore) -> dict[str, int]:
    waiting: dict[str, int] = {}
    for task in core.dispatcher.live.values():
        if task.state is State.QUEUED:
            waiting[task.route.method] = waiting.get(task.route.method, 0) + 1
    return waiting
