"""A queue that is ordered by priority and, within one priority, fair."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.events import Share
from vpoller_like.broker.task import Task

_Line = OrderedDict[int, Task]
#: The line of what had its turn already. It belongs to no share: the one that it came from
#: would have two turns in a row, should what came back be taken out before it is served.
_AGAIN = None


@compiled
class FairQueue:
    """Tasks that wait for one route.

    Of the highest priority present, each share (a client's connection, or a principal)
    is served one task in turn, its own in the order they came. All operations are O(1).
    """

    def __init__(self) -> None:
        self._levels: dict[int, OrderedDict[Share | None, _Line]] = {}
        #: How many tasks wait.
        self.size = 0

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[Task]:
        """Yield all tasks, in no particular order."""
        for shares in self._levels.values():
            for line in shares.values():
                yield from line.values()

    def push(self, task: Task) -> None:
        """Add ``task`` at the end of its share's line."""
        shares = self._levels.get(task.priority)
        line = None if shares is None else shares.get(task.share)
        if line is None:
            line = self._line(task.priority, task.share)
        line[task.number] = task
        self.size += 1

    def push_front(self, task: Task) -> None:
        """Put back a task that had its turn already: it is the next one, and no turn."""
        line = self._line(task.priority, _AGAIN)
        line[task.number] = task
        line.move_to_end(task.number, last=False)
        self._levels[task.priority].move_to_end(_AGAIN, last=False)
        self.size += 1

    def _line(self, priority: int, share: Share | None) -> _Line:
        shares = self._levels.get(priority)
        if shares is None:
            shares = self._levels[priority] = OrderedDict()
        line = shares.get(share)
        if line is None:
            line = shares[share] = OrderedDict()
        return line

    def pop(self, now: float) -> Task:
        """Take the next task; raise ``KeyError`` when there is none.

        It may be past its deadline at ``now``: then this was nobody's turn.
        """
        if not self.size:
            raise KeyError("the queue is empty")
        levels = self._levels
        shares = levels[max(levels) if len(levels) > 1 else next(iter(levels))]
        share = next(iter(shares))
        line = shares[share]
        _, task = line.popitem(last=False)
        self.size -= 1
        if not line:
            self._close_line(task.priority, share)
        elif len(shares) > 1 and share is not _AGAIN and task.deadline >= now:
            shares.move_to_end(share)
        return task

    def remove(self, task: Task) -> None:
        """Take out ``task``, which must be here."""
        shares = self._levels[task.priority]
        share = _AGAIN if task.number in shares.get(_AGAIN, ()) else task.share
        line = shares[share]
        del line[task.number]
        self.size -= 1
        if not line:
            self._close_line(task.priority, share)

    def _close_line(self, priority: int, share: Share | None) -> None:
        shares = self._levels[priority]
        del shares[share]
        if not shares:
            del self._levels[priority]
