"""What is promised of sizes: that they have limits, and are nothing at rest."""

# Hooks are told everything, and each looks at what it needs.
# ruff: noqa: ARG002

from __future__ import annotations

from collections import Counter

from tests.simulation import leftovers
from tests.simulation.invariant import Invariant, queued
from tests.simulation.sim_broker import BrokerLife
from tests.simulation.sim_executor import Execution
from vpoller_like.broker import events as ev


class QueuesAreBounded(Invariant):
    """No queue and no memory grows beyond its limit.

    What a worker gives back, or is lost with, waits beside the queue's limit: it was accepted.
    """

    def after(self, life: BrokerLife, event: ev.Event) -> None:
        core, settings = life.core, life.settings
        if core.memory.bytes > settings.remember_bytes:
            self.fail(f"{life.name} remembers {core.memory.bytes} bytes")
        if isinstance(event, ev.Request):
            self._count_requests(life)
        if not core.dispatcher.queued:
            return
        for route in core.directory.routes.values():
            if len(route.queue) > settings.queue_length:
                new = sum(task.attempt == 0 for task in route.queue)
                if new > settings.queue_length:
                    self.fail(f"{life.name} has {new} waiting for {route.method}")
        if core.dispatcher.queued_bytes > settings.queue_bytes:
            bodies = [len(task.body or b"") for task in queued(life) if task.attempt == 0]
            if sum(bodies) > settings.queue_bytes and len(bodies) > 1:
                self.fail(f"{life.name} has {sum(bodies)} bytes waiting")

    def _count_requests(self, life: BrokerLife) -> None:
        counts = Counter(asked.share for asked in self.oracle.pending(life))
        for share, count in counts.items():
            if count > life.settings.max_in_flight:
                self.fail(f"{life.name} has {count} requests of {share!r} under way")

    def started(self, execution: Execution) -> None:
        for place in self.oracle.workers:
            for process in place.living:
                memory = process.core._ledger.memory
                if memory.bytes > memory._max_bytes:
                    self.fail(f"{process.name} remembers {memory.bytes} bytes")


class AtRestNothingIsLeft(Invariant):
    """When nobody asks any more, the cores hold nothing of what was."""

    def at_rest(self) -> None:
        for life in self.oracle.lives:
            if life.alive and (left := leftovers.of_broker(life.core)):
                self.fail(f"{life.name} still holds {left}")
        for place in self.oracle.workers:
            for process in place.living:
                if left := leftovers.of_worker(process.core):
                    self.fail(f"{process.name} still holds {left}")
