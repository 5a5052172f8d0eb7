"""What workers say again and again: results, and for how many more they have room."""

from __future__ import annotations

from abc import ABC, abstractmethod

from vpoller_like.broker.acks import Acks
from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.events import WorkerSays
from vpoller_like.broker.flow import Flow
from vpoller_like.broker.worker import Worker
from vpoller_like.protocol.worker import FromWorker, Heartbeat, Hello, Results


@compiled
class Reception(ABC):
    """Hears what workers say; what is not the usual is a subclass's, as it is who they are."""

    def __init__(self, dispatcher: Flow) -> None:
        self._dispatcher = dispatcher
        self._by_peer: dict[bytes, Worker] = {}
        self._acks = Acks()

    def says(self, event: WorkerSays, now: float) -> None:
        """Take in one message."""
        message = event.message
        kind = type(message)
        worker = None if kind is Hello else self._by_peer.get(event.peer)
        if worker is None or worker.key != event.key:
            # A routing id may have been another connection's.
            self.introduced(event, now)
            return
        if not worker.stale:
            worker.last_heard = now
        if isinstance(message, Results):
            self._results(worker, message, now)
        elif isinstance(message, Heartbeat):
            self._grant(worker, message.slots, message.ahead, now)
        else:
            self.unusual(worker, message, now)

    def _results(self, worker: Worker, message: Results, now: float) -> None:
        items = message.items
        size = len(items[-1].body) if items else 0
        self._acks.owe(worker, message.seq, size, now)
        self._dispatcher.results(worker, items, now)
        self._grant(worker, message.slots, message.ahead, now)

    def _grant(self, worker: Worker, slots: int, ahead: int, now: float) -> None:
        """``worker`` has room for so many tasks, and for so many more ahead of their turn."""
        worker.slots = slots
        worker.ahead = ahead
        pool = worker.pool
        pool.place(worker)
        if pool.quick or pool.careful:
            self._dispatcher.serve(pool, now)

    # What is not the usual way ---------------------------------------------------------

    @abstractmethod
    def introduced(self, event: WorkerSays, now: float) -> None:
        """Take in a HELLO, or what somebody says who is not known by his connection and key."""

    @abstractmethod
    def unusual(self, worker: Worker, message: FromWorker, now: float) -> None:
        """``worker`` says something else."""
