"""What is promised of replies: that they come, to whom, and what they say."""

# Hooks are told everything, and each looks at what it needs.
# ruff: noqa: ARG002

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, NamedTuple

from tests.simulation.asking import Key
from tests.simulation.invariant import Answer, Invariant
from tests.simulation.sim_broker import BrokerLife
from tests.simulation.sim_executor import Execution
from vpoller_like.broker import events as ev
from vpoller_like.protocol import worker as wire

if TYPE_CHECKING:
    from tests.simulation.oracle import Oracle


#: Replies under an id that every later request of that id gets, too.
FINAL = frozenset(["", "invalid_params", "task_failed", "too_large", "worker_lost"])
#: What a remembered reply may cost beside its body, in bytes.
OVERHEAD = 512
#: Bytes of a reply that the broker writes itself, at the most.
OWN_REPLY = 400


class EveryRequestIsAnswered(Invariant):
    """A request that reached a broker is answered by it, while that broker lives."""

    def at_rest(self) -> None:
        for life in self.oracle.lives:
            pending = self.oracle.pending(life)
            if life.alive and pending:
                self.fail(f"{life.name} never answered {[a.envelope for a in pending]}")


class RepliesGoToWhoAsked(Invariant):
    """A reply answers a request that was asked, once, and is of that request's own run."""

    def unasked(self, life: BrokerLife, reply: ev.Reply) -> None:
        """A reply is for nobody who waits."""
        self.fail(f"{life.name} replied to {reply.envelope}, who does not wait for it")

    def replied(self, life: BrokerLife, event: ev.Event, answer: Answer) -> None:
        if answer.execution is None:
            return
        item, asked = answer.execution.item, answer.asked
        if item.id is None and asked.id is None:
            same = item.body == asked.body
        else:
            same = (item.principal, item.id) == asked.key and item.fingerprint == asked.mark
        if not same:
            self.fail(f"{asked.envelope} got the reply of a run for {item.principal}/{item.id}")


class OneReplyForOneId(Invariant):
    """While a broker remembers an id, everybody who asks under it gets the same reply.

    How long that is at least is counted here: the time, and the bytes of all that it may
    have had to remember since.
    """

    class Entry(NamedTuple):
        mark: bytes
        fields: dict[str, Any]
        until: float
        #: Up to how many bytes written by this life.
        room: int

    def __init__(self, oracle: Oracle) -> None:
        super().__init__(oracle)
        self._entries: dict[str, dict[Key, OneReplyForOneId.Entry]] = defaultdict(dict)
        self._written: dict[str, int] = defaultdict(int)
        self._lost: dict[str, int] = defaultdict(int)

    def before(self, life: BrokerLife, event: ev.Event) -> None:
        if isinstance(event, ev.WorkerSays):
            message = event.message
            if isinstance(message, wire.Results):
                for item in message.items:
                    self._written[life.name] += len(item.body) + OVERHEAD
            elif isinstance(message, wire.Have) and message.result is not None:
                self._written[life.name] += len(message.result.body) + OVERHEAD

    def replied(self, life: BrokerLife, event: ev.Event, answer: Answer) -> None:
        key = answer.asked.key
        if key is None:
            return
        entry = self._remembered(life, key)
        if entry is not None:
            self._compare(life, entry, answer)
        elif answer.code in FINAL and not isinstance(event, ev.Request):
            now = self.oracle.world.now
            if answer.execution is None:
                self._written[life.name] += answer.size + OVERHEAD
            room = self._written[life.name] - answer.size - OVERHEAD + life.settings.remember_bytes
            self._entries[life.name][key] = self.Entry(
                answer.asked.mark, answer.fields, now + life.settings.remember_ms / 1000, room
            )

    def _remembered(self, life: BrokerLife, key: Key) -> Entry | None:
        entry = self._entries[life.name].get(key)
        if entry is None:
            return None
        if self.oracle.world.now < entry.until and self._written[life.name] <= entry.room:
            return entry
        del self._entries[life.name][key]
        return None

    def _compare(self, life: BrokerLife, entry: Entry, answer: Answer) -> None:
        asked = answer.asked
        if asked.mark != entry.mark:
            if answer.code != "id_reused":
                self.fail(f"{life.name} gave {asked.key} for another body {answer.fields}")
        elif answer.fields != entry.fields:
            self.fail(f"{life.name} replied to {asked.key} {entry.fields}, then {answer.fields}")

    def after(self, life: BrokerLife, event: ev.Event) -> None:
        # What nobody waits for is remembered, too, and is not seen from here.
        lost = life.core.counters.worker_lost
        self._written[life.name] += (lost - self._lost[life.name]) * (OWN_REPLY + OVERHEAD)
        self._lost[life.name] = lost


class SupersededAttemptsAreDropped(Invariant):
    """The result of an attempt that was followed by another one reaches nobody."""

    def __init__(self, oracle: Oracle) -> None:
        super().__init__(oracle)
        self._latest: dict[str, dict[int, int]] = defaultdict(dict)
        self._stale: set[bytes] = set()
        self._ended = False

    def before(self, life: BrokerLife, event: ev.Event) -> None:
        if not isinstance(event, ev.WorkerSays) or not isinstance(event.message, wire.Results):
            return
        latest = self._latest[life.name]
        stale, current = set(), set()
        for item in event.message.items:
            is_stale = item.attempt < latest.get(item.task, 0)
            (stale if is_stale else current).add(item.body)
        self._stale = stale - current
        if self._stale:
            self.oracle.world.seen["superseded results"] += len(self._stale)

    def gave(self, life: BrokerLife, item: wire.Assignment, peer: bytes) -> None:
        self._latest[life.name][item.task] = item.attempt

    def replied(self, life: BrokerLife, event: ev.Event, answer: Answer) -> None:
        self._ended = True
        execution = answer.execution
        if self._stale and execution is not None and execution.body in self._stale:
            self.fail(f"{life.name} passed on run {execution.number} of a superseded attempt")

    def after(self, life: BrokerLife, event: ev.Event) -> None:
        self._stale = set()
        if self._ended:
            # Whoever asks for the same anew may well get an early attempt's result: it is the
            # one that a worker has.
            self._ended = False
            live, latest = life.core.dispatcher.live, self._latest[life.name]
            self._latest[life.name] = {n: a for n, a in latest.items() if n in live}


class WhatIsSaidNotToHaveRunHasNot(Invariant):
    """A reply that says that the request has not run is right, as far as its broker gave it."""

    def __init__(self, oracle: Oracle) -> None:
        super().__init__(oracle)
        self._given: dict[Any, set[int]] = defaultdict(set)
        self._run: dict[int, Execution] = {}

    def gave(self, life: BrokerLife, item: wire.Assignment, peer: bytes) -> None:
        name = item.body if item.id is None else (item.principal, item.id, item.fingerprint)
        self._given[life.name, name].add(item.task)

    def started(self, execution: Execution) -> None:
        self._run.setdefault(execution.item.task, execution)

    def replied(self, life: BrokerLife, event: ev.Event, answer: Answer) -> None:
        asked = answer.asked
        if not answer.says_not_run:
            return
        name = asked.body if asked.key is None else (*asked.key, asked.mark)
        for number in self._given.get((life.name, name), ()):
            execution = self._run.get(number)
            if execution is not None and execution.started >= asked.arrived_at:
                self.fail(f"{life.name} said so of {asked.envelope}, run by {execution.process}")
