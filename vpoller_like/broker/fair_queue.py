"""A queue that is ordered by priority and, within one priority, fair."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from vpoller_like.broker.task import Task

_Line = OrderedDict[int, Task]


class FairQueue:
    """Tasks that wait for one route.

    Of the highest priority present, each share (a client's connection, or a principal)
    is served one task in turn, its own in the order they came. All operations are O(1).
    """

    def __init__(self) -> None:
        self._levels: dict[int, OrderedDict[bytes, _Line]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Task]:
        """Yield all tasks, in no particular order."""
        for shares in self._levels.values():
            for line in shares.values():
                yield from line.values()

    def push(self, task: Task) -> None:
        """Add ``task`` at the end of its share's line."""
        shares = self._levels.setdefault(task.priority, OrderedDict())
        shares.setdefault(task.share, OrderedDict())[task.number] = task
        self._size += 1

    def push_front(self, task: Task) -> None:
        """Put back a task that had its turn already: it is the next one."""
        self.push(task)
        shares = self._levels[task.priority]
        shares[task.share].move_to_end(task.number, last=False)
        shares.move_to_end(task.share, last=False)

    def pop(self) -> Task:
        """Take the next task; raise ``KeyError`` when there is none."""
        if not self._size:
            raise KeyError("the queue is empty")
        priority = max(self._levels)
        shares = self._levels[priority]
        share, line = next(iter(shares.items()))
        _, task = line.popitem(last=False)
        self._size -= 1
        if line:
            shares.move_to_end(share)
        else:
            self._close_line(priority, share)
        return task

    def remove(self, task: Task) -> None:
        """Take out ``task``, which must be here."""
        line = self._levels[task.priority][task.share]
        del line[task.number]
        self._size -= 1
        if not line:
            self._close_line(task.priority, task.share)

    def _close_line(self, priority: int, share: bytes) -> None:
        shares = self._levels[priority]
        del shares[share]
        if not shares:
            del self._levels[priority]
