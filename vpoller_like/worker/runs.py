"""All runs of this process: waiting, running, stuck, or over and still known."""

from __future__ import annotations

from collections import defaultdict

from vpoller_like.protocol.worker import Assignment
from vpoller_like.worker.compiled import compiled
from vpoller_like.worker.run import Debt, IdKey, Run


@compiled
class Runs:
    """Finds runs by key, by a broker's task number and by id."""

    def __init__(self) -> None:
        #: Given to the executor and not known to have started, in that order.
        self.waiting: dict[int, Run] = {}
        self.running: dict[int, Run] = {}
        #: Given up; each holds its thread until the process ends.
        self.stuck: dict[int, Run] = {}
        #: By the numbers that the broker behind each link gave.
        self.numbers: defaultdict[int, dict[int, Run]] = defaultdict(dict)
        self._by_id: dict[IdKey, Run] = {}
        self._keys = 0

    def add(self, link: int, item: Assignment, brief: bool, now: float) -> Run:
        """Begin with a task that the broker behind ``link`` gave."""
        self._keys = key = self._keys + 1
        run = Run(key, item, [Debt(link, item.task, item.attempt)], now, brief)
        self.waiting[key] = run
        self.numbers[link][item.task] = run
        if item.id is not None:
            self._by_id[(item.principal, item.id)] = run
        return run

    def by_task(self, link: int, task: int) -> Run | None:
        """Return the run that a broker knows under this number."""
        return self.numbers[link].get(task)

    def by_id(self, principal: str, request_id: str | None) -> Run | None:
        """Return the latest run of this request that is still known, over or not."""
        return None if request_id is None else self._by_id.get((principal, request_id))

    def owe(self, run: Run, debt: Debt) -> None:
        """Another broker, or the same one under another number, awaits the result."""
        run.debts.append(debt)
        self.numbers[debt.link].setdefault(debt.task, run)

    def release(self, run: Run, debt: Debt) -> None:
        """The result is not owed there any more."""
        run.debts.remove(debt)
        if not any((d.link, d.task) == (debt.link, debt.task) for d in run.debts):
            self._drop_number(run, debt)

    def start(self, key: int, at: float) -> Run | None:
        """A thread has begun with a waiting run. ``None`` if there is no such run."""
        run = self.waiting.pop(key, None)
        if run is not None:
            run.started_at = at
            self.running[key] = run
        return run

    def finish(self, key: int) -> Run | None:
        """A thread is done with a run. ``None`` if it was given up before."""
        run = self.waiting.pop(key, None) or self.running.pop(key, None)
        if run is None:
            self.stuck.pop(key, None)
        return run

    def give_up(self, run: Run) -> None:
        """Stop waiting for a running one."""
        self.stuck[run.key] = self.running.pop(run.key)

    def withdraw(self, key: int) -> Run | None:
        """A waiting run came back and will not be started."""
        run = self.waiting.pop(key, None)
        if run is not None:
            self.forget(run)
        return run

    def settle(self, run: Run) -> None:
        """All brokers have the result: the numbers may be used again."""
        for debt in run.debts:
            numbers = self.numbers[debt.link]
            if numbers.get(debt.task) is run:
                del numbers[debt.task]
        run.debts.clear()

    def forget(self, run: Run) -> None:
        """Know nothing of this run any more."""
        self.settle(run)
        item = run.item
        if item.id is not None:
            id_key = (item.principal, item.id)
            if self._by_id.get(id_key) is run:
                del self._by_id[id_key]

    def owed_to(self, link: int) -> list[tuple[Run, Debt]]:
        """Return what is owed to a broker and not over yet, in the order it was given."""
        unfinished = [*self.running.values(), *self.waiting.values()]
        return [(run, debt) for run in unfinished for debt in run.debts if debt.link == link]

    def slow(self) -> list[Run]:
        """Return the running ones that are not quick."""
        return [run for run in self.running.values() if run.slow]

    @property
    def occupied(self) -> int:
        """How many threads are known to run something, or to be stuck."""
        return len(self.running) + len(self.stuck)

    @property
    def unfinished(self) -> bool:
        """Whether anything waits or runs; what is stuck does not count."""
        return bool(self.waiting or self.running)

    def _drop_number(self, run: Run, debt: Debt) -> None:
        if self.by_task(debt.link, debt.task) is run:
            del self.numbers[debt.link][debt.task]
