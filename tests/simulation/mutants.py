"""Planted faults: cores that break one promise each, and the invariant that must see it.

A simulation that finds nothing may be one that looks at nothing. Each mutant is a change that a
hurried hand could make; ``KILLERS`` names who has to notice.
"""

# A mutant takes the place of a method, with all its parameters.
# ruff: noqa: ARG001

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from vpoller_like.broker.admission import Admission
from vpoller_like.broker.dispatcher import Dispatcher
from vpoller_like.broker.events import Request, Share
from vpoller_like.broker.fair_queue import FairQueue
from vpoller_like.broker.memory import Memory, Remembered
from vpoller_like.broker.quota import Quota
from vpoller_like.broker.reception import Reception
from vpoller_like.broker.routing import Pool, Route
from vpoller_like.broker.seekers import Seekers
from vpoller_like.broker.state import State
from vpoller_like.broker.task import Key, Task
from vpoller_like.broker.worker import Worker
from vpoller_like.protocol import worker as wire
from vpoller_like.protocol.encoding import Encoding
from vpoller_like.protocol.reply import success
from vpoller_like.worker import memory
from vpoller_like.worker.core import WorkerCore
from vpoller_like.worker.ledger import Ledger
from vpoller_like.worker.link import Link

Mutant = Callable[[], Any]

#: Each mutant with the name of the invariant that it must die by.
KILLERS: list[tuple[Mutant, str]] = []
#: Those that cannot be planted in what is compiled, and are in Python alone.
PURE: list[Mutant] = []


def dies_by(invariant: str, pure: bool = False) -> Callable[[Callable[[], Iterator[None]]], Mutant]:
    """Enter a mutant, a generator that plants a fault and takes it back, into ``KILLERS``.

    ``pure`` says that it replaces what the compiled core has, too, where nothing can be replaced.
    """

    def enter(plant: Callable[[], Iterator[None]]) -> Mutant:
        mutant = contextmanager(plant)
        KILLERS.append((mutant, invariant))
        if pure:
            PURE.append(mutant)
        return mutant

    return enter


@dies_by("EveryRequestIsAnswered")
def the_broker_forgets_what_a_lost_worker_held() -> Iterator[None]:
    def worker_lost(self: Dispatcher, task: Task, now: float) -> None:
        self._leave_worker(task)

    with patch.object(Dispatcher, "worker_lost", worker_lost):
        yield


@dies_by("EveryRequestIsAnswered")
def the_broker_forgets_whom_it_seeks_when_a_worker_leaves() -> Iterator[None]:
    def worker_left(self: Seekers, worker: Worker, now: float) -> None:
        for seek in list(self._open.values()):
            if worker.instance in seek.pending:
                self.forget(seek.task)

    with patch.object(Seekers, "worker_left", worker_left):
        yield


@dies_by("RepliesGoToWhoAsked", pure=True)
def ids_are_everybodys() -> Iterator[None]:
    def get(self: Memory, key: Key) -> Remembered | None:
        return next((e for k, e in self._entries.items() if k[1] == key[1]), None)

    def contains(self: Memory, key: Key) -> bool:
        return get(self, key) is not None

    with patch.object(Memory, "get", get), patch.object(Memory, "__contains__", contains):
        yield


@dies_by("OneReplyForOneId")
def what_is_remembered_is_told_without_its_result() -> Iterator[None]:
    def recall(self: Dispatcher, waiter: Request, entry: Remembered, encoding: Encoding) -> None:
        self.reply(waiter, success(None, "it has run", encoding), entry.meta, encoding)

    with patch.object(Dispatcher, "recall", recall):
        yield


@dies_by("LivingMemoryIsAsked")
def a_worker_denies_what_it_knows() -> Iterator[None]:
    def answer(self: Ledger, link: int, question: wire.WhoHas) -> wire.Have:
        return wire.Have(question.query, wire.Possession.NONE)

    with patch.object(Ledger, "answer", answer):
        yield


@dies_by("SupersededAttemptsAreDropped", pure=True)
def a_result_is_taken_from_whoever_brings_it() -> Iterator[None]:
    def take_all(self: Reception, worker: Worker, message: wire.Results, now: float) -> None:
        self._acks.owe(worker, message.seq, 0, now)
        for item in message.items:
            task = self._dispatcher.live.get(item.task)
            if task is not None and task.state is State.RUNNING:
                self._dispatcher.result(task, item, now)
        self._grant(worker, message.slots, message.ahead, now)

    with patch.object(Reception, "_results", take_all):
        yield


@dies_by("NothingIsGivenPastItsDeadline", pure=True)
def what_waits_is_given_however_late() -> Iterator[None]:
    def give_next(self: Dispatcher, worker: Worker, route: Route, now: float) -> None:
        task = route.queue.pop(now)
        self.left_queue(task)
        self.give(worker, task, now)

    with patch.object(Dispatcher, "_give_next", give_next):
        yield


@dies_by("WhatIsSaidNotToHaveRunHasNot", pure=True)
def a_broker_says_of_all_that_waits_that_it_has_not_run() -> Iterator[None]:
    with patch.object(Task, "fate", "it has not run"):
        yield


@dies_by("QueuesAreBounded", pure=True)
def there_is_always_room() -> Iterator[None]:
    with patch.object(Dispatcher, "require_room", lambda *_, **__: None):
        yield


@dies_by("QueuesAreBounded", pure=True)
def a_principal_may_have_any_number_of_requests() -> Iterator[None]:
    def take(self: Quota, share: Share) -> bool:
        self._requests[share] = self._requests.get(share, 0) + 1
        return True

    with patch.object(Quota, "take", take):
        yield


@dies_by("QueuesAreBounded", pure=True)
def a_worker_remembers_everything() -> Iterator[None]:
    def settle(self: Ledger, run: Any, now: float) -> None:
        self.runs.settle(run)
        self.memory._entries[run.key] = memory.Entry(run, now + self.memory._seconds)
        self.memory.bytes += memory._cost(run)

    with patch.object(Ledger, "_settle", settle):
        yield


@dies_by("NobodyIsPassedOver", pure=True)
def the_first_client_is_served_until_it_has_nothing_left() -> Iterator[None]:
    def pop(self: FairQueue, now: float) -> Task:
        shares = self._levels[max(self._levels)]
        task = next(iter(next(iter(shares.values())).values()))
        self.remove(task)
        return task

    with patch.object(FairQueue, "pop", pop):
        yield


@dies_by("GrantsAreKept", pure=True)
def a_worker_has_always_one_slot_more() -> Iterator[None]:
    real = Pool.place

    def place(self: Pool, worker: Worker) -> None:
        worker.slots += 1
        real(self, worker)
        worker.slots -= 1

    with patch.object(Pool, "place", place):
        yield


@dies_by("RunsOnce")
def everything_is_safe_to_run_twice() -> Iterator[None]:
    real = Dispatcher.worker_lost

    def worker_lost(self: Dispatcher, task: Task, now: float) -> None:
        if task.body is None or task.losses:
            real(self, task, now)
            return
        self._leave_worker(task)
        task.losses += 1
        self.enqueue(task, front=True)
        self.serve_route(task.route, now)

    with patch.object(Dispatcher, "worker_lost", worker_lost):
        yield


@dies_by("RunsOnce")
def what_nobody_knows_is_run() -> Iterator[None]:
    def not_found(self: Admission, task: Task, now: float) -> None:
        self._dispatcher.start(task, now)

    with patch.object(Admission, "not_found", not_found):
        yield


@dies_by("WhatIsSaidNotToHaveRunHasNot")
def a_hello_takes_back_what_the_worker_holds() -> Iterator[None]:
    real = WorkerCore._greet_if_due

    def greet(self: WorkerCore, link: Link, now: float) -> None:
        with patch.object(Ledger, "held", lambda *_: []):
            real(self, link, now)

    with patch.object(WorkerCore, "_greet_if_due", greet):
        yield


@dies_by("AtRestNothingIsLeft", pure=True)
def a_broker_never_forgets() -> Iterator[None]:
    with patch.object(Memory, "expire", lambda *_: None):
        yield


@dies_by("AtRestNothingIsLeft")
def a_worker_never_forgets() -> Iterator[None]:
    with patch.object(Ledger, "expire", lambda *_: None):
        yield


@dies_by("SameSeedSameCourse", pure=True)
def a_worker_is_found_by_chance() -> Iterator[None]:
    find = Pool.find

    def lucky(self: Pool, method: str, pace: float) -> Worker | None:
        names = list(self._free)
        random.SystemRandom().shuffle(names)
        for name in names:
            self._free.move_to_end(name)
        return find(self, method, pace)

    with patch.object(Pool, "find", lucky):
        yield
