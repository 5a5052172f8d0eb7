"""What each task goes through in a worker's core."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from vpoller_like.protocol import worker as wire
from vpoller_like.worker import events as ev
from vpoller_like.worker.compiled import compiled
from vpoller_like.worker.departure import Departure
from vpoller_like.worker.figures import FLUSH_SECONDS, SLOW_SECONDS
from vpoller_like.worker.grant import NOTHING, Grant, grant_to, is_news
from vpoller_like.worker.ledger import Ledger
from vpoller_like.worker.link import Link
from vpoller_like.worker.pace import Pace
from vpoller_like.worker.run import Run
from vpoller_like.worker.size import within
from vpoller_like.worker.timeouts import Timeouts

#: Seconds until what is not to happen.
NEVER = float("inf")

#: What brokers say all the time; nothing is due the sooner for it.
_COMMON = frozenset([wire.Tasks, wire.Ack, wire.Alive])


@compiled
class Flow:
    """From a broker's TASKS to the RESULTS for it. All times are monotonic seconds.

    Who derives from it does all else: it enters what handles the other events (``_handlers``)
    and messages (``_answers``), and knows how to go (``_depart``) and to give back (``_return``).
    """

    def __init__(
        self, links: Sequence[Link], ledger: Ledger, timeouts: Timeouts, threads: int
    ) -> None:
        self._links = list(links)
        self._ledger = ledger
        self._runs = ledger.runs
        self._timeouts = timeouts
        self._threads = threads
        self._pace = Pace()
        self._departure = Departure()
        self._exited = False
        #: When something is due to some broker, or sooner; ``None``: to be found out.
        self._links_due: float | None = None
        self._out: list[ev.Action] = []
        self._handlers: dict[type[Any], Callable[[Any, float], None]] = {}
        self._answers: dict[type[Any], Callable[[Link, Any, float], None]] = {}

    def handle(self, event: ev.Event, now: float) -> list[ev.Action]:
        """Take in ``event`` and return what is to be done, in order; nothing after Exit."""
        if self._exited:
            return []
        if type(event) is ev.Received:
            self._received(event, now)
        elif type(event) is ev.Progress:
            self._progress(event, now)
        else:
            self._handlers[type(event)](event, now)
        for link in self._links:
            if link.outbox.since is not None:
                self._flush(link, now)
        if self._departure.leaving:
            self._depart(now)
        actions, self._out = self._out, []
        return actions

    def next_due(self, now: float) -> float | None:
        """Return when the next Tick is due at the latest; ``None`` after Exit."""
        if self._exited:
            return None
        due = self._links_due
        if due is None:
            links = [self._link_due(link, now) for link in self._links]
            due = self._links_due = min(links, default=now + 1.0)
        if self._departure.leaving:
            due = min(due, self._departure.next_due())
        if self._runs.waiting:
            # A thread that goes on to its next run says nothing of the last one.
            due = min(due, now + FLUSH_SECONDS, self._flush_due())
        for run in self._runs.running.values():
            due = min(due, _next_look(run))
        return due if due > now else now

    def _link_due(self, link: Link, now: float) -> float:
        due = link.next_due()
        if link.welcomed and is_news(link.told, self._grant(link, now)):
            due = min(due, link.next_tell)
        return due

    def _flush_due(self) -> float:
        """Return until when results may wait for what else waits to be run."""
        unsent = [link.outbox.since for link in self._links if link.welcomed]
        return min((since + FLUSH_SECONDS for since in unsent if since is not None), default=NEVER)

    # What comes in ---------------------------------------------------------------------

    def _received(self, event: ev.Received, now: float) -> None:
        link, message = self._links[event.link], event.message
        kind = type(message)
        link.heard_at = now
        if kind not in _COMMON:
            self._links_due = None
        if isinstance(message, wire.Tasks):
            self._tasks(link, message, now)
        elif isinstance(message, wire.Ack):
            self._ledger.acknowledge(link.index, message.seq, now)
        else:
            self._answers[kind](link, message, now)
        if self._ledger.unwanted:
            self._recall(self._ledger.take_unwanted())

    def _tasks(self, link: Link, message: wire.Tasks, now: float) -> None:
        if message.session != link.session:
            return
        if self._departure.leaving:
            self._return(link, [wire.Attempt(i.task, i.attempt) for i in message.items], now)
            return
        runs = self._ledger.take(link.index, message.items, self._pace.is_brief, now)
        if runs:
            self._out.append(ev.Submit(runs))
        if len(runs) < len(message.items):
            # This broker waits for what another one does: that is no loss of slots to it.
            self._links_due = None

    def _progress(self, event: ev.Progress, now: float) -> None:
        for started in event.started:
            run = self._runs.start(started.key, started.at)
            if run is not None:
                run.deadline = started.at + self._timeouts.of(run)
        for finished in event.finished:
            run = self._runs.finish(finished.key)
            if run is None:
                continue  # It was answered for when its time was up.
            if run.slow or not run.debts:
                # Else what this changes shows in the grant that goes with the result.
                self._links_due = None
            self._pace.note(run.item.method, finished.ran_us / 1e6, now)
            self._ledger.conclude(run, finished, now)

    # What goes out ---------------------------------------------------------------------

    def _flush(self, link: Link, now: float) -> None:
        """Send the results that wait, unless others are about to come."""
        since = link.outbox.since
        assert since is not None, "nothing waits"
        if not link.welcomed or (self._runs.waiting and now < since + FLUSH_SECONDS):
            # No grant goes with them, which may be news to others.
            self._links_due = None
            return
        grant = self._tell(link, now)
        for pack in link.outbox.take_packs():
            results = pack.results
            if pack.bytes > link.max_reply:
                results = [within(result, link.max_reply) for result in results]
            message = wire.Results(pack.seq, grant.slots, grant.ahead, results)
            self._out.append(ev.Send(link.index, message))

    def _recall(self, keys: Iterable[int]) -> None:
        asked = list(keys)
        if asked:
            self._out.append(ev.Recall(asked))

    def _tell(self, link: Link, now: float) -> Grant:
        """Return the grant for a message that goes out now."""
        grant = self._grant(link, now)
        if link.tell(grant, now):
            # Perhaps to the others, too.
            self._links_due = None
        return grant

    def _grant(self, link: Link, now: float) -> Grant:
        if self._departure.leaving:
            return NOTHING
        return grant_to(link.index, self._threads, self._runs, self._pace, now)

    # Who derives from it -----------------------------------------------------------------

    def _return(self, link: Link, attempts: list[wire.Attempt], now: float) -> None:
        raise NotImplementedError

    def _depart(self, now: float) -> None:
        raise NotImplementedError


def slow_at(run: Run) -> float:
    """Return from when on a waiting or running one is slow."""
    return (run.started_at or run.given_at) + SLOW_SECONDS


def _next_look(run: Run) -> float:
    """Return when something about a running one changes by time alone."""
    deadline = NEVER if run.deadline is None else run.deadline
    return deadline if run.slow else min(deadline, slow_at(run))
