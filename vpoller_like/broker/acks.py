"""Whose results are to be acknowledged, and when: not each message by a message of its own."""

from __future__ import annotations

from collections.abc import Iterator

from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.figures import LARGE, MANY, PATIENCE
from vpoller_like.broker.worker import Worker


@compiled
class Acks:
    """Workers that are owed an ACK. Times are monotonic seconds."""

    def __init__(self) -> None:
        #: The one that has waited longest is the first.
        self._later: dict[str, Worker] = {}
        self._next: dict[str, Worker] = {}
        self._hurried = False

    def __bool__(self) -> bool:
        return bool(self._later or self._next)

    def owe(self, worker: Worker, seq: int, size: int, now: float) -> None:
        """The RESULTS ``seq`` of ``worker`` has arrived; its last result has ``size`` bytes."""
        worker.ack = seq
        name = worker.instance
        if seq - worker.acked >= MANY or size > LARGE or worker.draining or self._hurried:
            self._next[name] = worker
        elif name not in self._later:
            worker.ack_due = now + PATIENCE
            self._later[name] = worker

    def hasten(self, worker: Worker) -> None:
        """``worker`` is about to leave, and waits for what it is owed."""
        if worker.instance in self._later:
            self._next[worker.instance] = worker

    def hurry(self) -> None:
        """Whatever is owed is due with the next tick, now and from now on."""
        self._hurried = True
        self._next.update(self._later)

    def forget(self, worker: Worker) -> None:
        """``worker`` is gone."""
        self._later.pop(worker.instance, None)
        self._next.pop(worker.instance, None)

    def take(self, now: float) -> Iterator[Worker]:
        """Yield those to whom an ACK is due; they are owed nothing then."""
        for worker in self._next.values():
            self._later.pop(worker.instance, None)
            yield from _settled(worker)
        self._next.clear()
        while self._later:
            worker = next(iter(self._later.values()))
            if worker.ack_due > now:
                return
            del self._later[worker.instance]
            yield from _settled(worker)


def _settled(worker: Worker) -> Iterator[Worker]:
    if worker.ack != worker.acked:
        worker.acked = worker.ack
        yield worker
