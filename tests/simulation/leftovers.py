"""What a core still holds of work. At rest that is nothing."""

from __future__ import annotations

from typing import Any

from vpoller_like.broker.core import BrokerCore
from vpoller_like.worker.core import WorkerCore


def of_broker(core: BrokerCore) -> dict[str, Any]:
    """Return what a broker's core holds beside its registered workers, by where."""
    dispatcher, directory, roster = core.dispatcher, core.directory, core.roster
    return _what_is_there(
        {
            "live": list(dispatcher.live),
            "by_key": list(dispatcher.by_key),
            "queued": dispatcher.queued,
            "queued_bytes": dispatcher.queued_bytes,
            "joiners": list(core.seekers._joiners),
            "quota": bool(dispatcher.quota),
            "timetable": len(list(dispatcher.timetable)),
            "timetable buckets": dispatcher.timetable._buckets,
            "timetable order": dispatcher.timetable._order,
            "seeks": core.seekers._open,
            "looks": len(list(core.seekers._looks)),
            "remembered": len(core.memory),
            "remembered bytes": core.memory.bytes,
            "routes": list(directory.routes),
            "departed": directory._departed,
            "acknowledgements": roster._acks,
            "held": [list(w.tasks) for w in roster.workers.values() if w.tasks],
            "waiting routes": [1 for p in directory.pools if p.quick or p.careful],
            "actions": core._out,
            "peers": len(roster._by_peer) - len(roster.workers),
        }
    )


def of_worker(core: WorkerCore) -> dict[str, Any]:
    """Return what a worker's core holds."""
    ledger = core._ledger
    return _what_is_there(
        {
            "waiting": list(ledger.runs.waiting),
            "running": list(ledger.runs.running),
            "stuck": list(ledger.runs.stuck),
            "numbers": [list(known) for known in ledger.runs.numbers.values() if known],
            "ids": ledger.runs._by_id,
            "unacknowledged": [list(link.outbox) for link in core._links if link.outbox],
            "remembered": len(ledger.memory),
            "remembered bytes": ledger.memory.bytes,
            "unwanted": ledger.unwanted,
            "actions": core._out,
        }
    )


def _what_is_there(held: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in held.items() if value}
