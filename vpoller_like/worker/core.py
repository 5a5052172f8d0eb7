"""What a worker does, without sockets, threads or a clock."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from msgspec.structs import replace

from vpoller_like.config import WorkerSettings
from vpoller_like.protocol import worker as wire
from vpoller_like.worker import events as ev
from vpoller_like.worker.departure import ACK_SECONDS
from vpoller_like.worker.figures import SLOW_SECONDS
from vpoller_like.worker.flow import Flow, slow_at
from vpoller_like.worker.grant import NOTHING, is_news
from vpoller_like.worker.ledger import Ledger
from vpoller_like.worker.link import HELLO_RETRY, Link
from vpoller_like.worker.memory import Memory
from vpoller_like.worker.run import Run
from vpoller_like.worker.size import within
from vpoller_like.worker.timeouts import Timeouts, timed_out


class Identity(msgspec.Struct, frozen=True):
    """Which worker this is. ``instance`` is random, made anew for each."""

    label: str
    instance: str
    pid: int


class WorkerCore(Flow):
    """Joins the worker's parts. All times are monotonic seconds.

    There is a link for each of ``settings.backends``, by its place there. A HELLO that could
    not be sent is tried again after ``hello_retry`` seconds.
    """

    def __init__(
        self,
        settings: WorkerSettings,
        identity: Identity,
        offers: Sequence[wire.Offer],
        hello_retry: float = HELLO_RETRY,
    ) -> None:
        links = [Link(index, hello_retry) for index in range(len(settings.backends))]
        ledger = Ledger(
            [link.outbox for link in links],
            Memory(settings.remember_ms / 1000, settings.remember_bytes, settings.remember_count),
        )
        super().__init__(links, ledger, Timeouts(offers), settings.threads)
        self._identity = identity
        self._offers = list(offers)
        self._drain_seconds = settings.drain_ms / 1000
        self._handlers = {
            ev.Unsent: self._unsent,
            ev.Recalled: self._recalled,
            ev.Tick: self._tick,
            ev.DrainRequested: self._drain_requested,
            ev.RetireRequested: self._retire_requested,
        }
        self._answers = {
            wire.Welcome: self._welcome,
            wire.Cancel: self._cancel,
            wire.WhoHas: self._whohas,
            wire.Resync: self._resync,
            wire.Alive: lambda *_: None,
            wire.Shutdown: self._shutdown,
            wire.Refused: lambda link, _, at: link.turned_away(at),
        }

    def remember(self, max_bytes: int, max_count: int) -> None:
        """Remember no more results than this from the next one on. From any thread."""
        self._ledger.memory.limit(max_bytes, max_count)

    # What brokers say ------------------------------------------------------------------

    def _welcome(self, link: Link, message: wire.Welcome, now: float) -> None:
        if link.welcome(message, now):
            self._ledger.disown(link.index, now)
        if self._departure.leaving:
            self._send(link, wire.Drain())

    def _cancel(self, link: Link, message: wire.Cancel, now: float) -> None:  # noqa: ARG002
        for attempt in message.items:
            self._ledger.cancel(link.index, attempt)

    def _whohas(self, link: Link, message: wire.WhoHas, now: float) -> None:  # noqa: ARG002
        answer = self._ledger.answer(link.index, message)
        if answer.result is not None:
            answer = replace(answer, result=within(answer.result, link.max_reply))
        self._send(link, answer)

    def _resync(self, link: Link, message: wire.Resync, now: float) -> None:  # noqa: ARG002
        if not link.welcomed:
            link.back_off(now)
            return
        link.greet_again(now)
        self._greet_if_due(link, now)

    def _shutdown(self, link: Link, message: wire.Shutdown, now: float) -> None:  # noqa: ARG002
        self._departure.drain(now + self._drain_seconds)
        self._leave(now)

    # What the process says -------------------------------------------------------------

    def _unsent(self, event: ev.Unsent, now: float) -> None:
        self._links_due = None
        self._links[event.link].unreachable(now)

    def _recalled(self, event: ev.Recalled, now: float) -> None:
        back: dict[int, list[wire.Attempt]] = {}
        for key in event.keys:
            run = self._runs.waiting.get(key)
            if run is None:
                continue
            # Where several brokers wait for it, only one may give it away again, lest it
            # run twice: the one that asked last, for a client that has moved there.
            for debt in run.debts[-1:]:
                back.setdefault(debt.link, []).append(wire.Attempt(debt.task, debt.attempt))
            self._runs.withdraw(key)
        for index, attempts in back.items():
            self._return(self._links[index], attempts, now)

    def _drain_requested(self, _: ev.DrainRequested, now: float) -> None:
        self._departure.request(now + self._drain_seconds)
        self._leave(now)

    def _retire_requested(self, _: ev.RetireRequested, now: float) -> None:
        self._departure.retire()
        self._leave(now)

    # Time ------------------------------------------------------------------------------

    def _tick(self, _: ev.Tick, now: float) -> None:
        self._links_due = None
        self._ledger.expire(now)
        self._look_at_running(now)
        self._recall_stalled(now)
        for link in self._links:
            self._greet_if_due(link, now)
            if link.beat_due(now) or self._has_news(link, now):
                link.beat(now)
                grant = self._tell(link, now)
                self._send(link, wire.Heartbeat(grant.slots, grant.ahead))

    def _look_at_running(self, now: float) -> None:
        for run in list(self._runs.running.values()):
            run.slow = run.slow or now >= slow_at(run)
            if run.deadline is not None and now >= run.deadline:
                self._give_up(run, now)

    def _give_up(self, run: Run, now: float) -> None:
        """Answer for a run that takes too long. Its thread is lost, so the process goes."""
        seconds = self._timeouts.of(run)
        self._runs.give_up(run)
        self._pace.note(run.item.method, seconds, now)
        self._ledger.conclude(run, timed_out(run, seconds), now)
        if self._departure.stick():
            self._out.append(ev.Replace(self._longest_left(now) + ACK_SECONDS))
        self._leave(now)

    def _longest_left(self, now: float) -> float:
        running = [r.deadline - now for r in self._runs.running.values() if r.deadline is not None]
        return max([*running, *map(self._timeouts.of, self._runs.waiting.values())], default=0.0)

    def _recall_stalled(self, now: float) -> None:
        """Ask for what has waited too long behind slow runs."""
        oldest = next(iter(self._runs.waiting.values()), None)
        if oldest is None or now < oldest.given_at + SLOW_SECONDS:
            return
        # Where a thread is free they are about to be run: the loop was late, not a task.
        if self._runs.slow() and self._runs.occupied >= self._threads:
            self._recall_own()

    def _recall_own(self) -> None:
        """Ask for what waits, but for what several brokers wait for.

        Were it given back to one of them, another one would be told that it never began, and
        both would give it away again.
        """
        self._recall(run.key for run in self._runs.waiting.values() if not _is_shared(run))

    def _has_news(self, link: Link, now: float) -> bool:
        return link.may_tell(now) and is_news(link.told, self._grant(link, now))

    # The end ---------------------------------------------------------------------------

    def _leave(self, now: float) -> None:
        """Take no more; give back what is not started."""
        for link in self._links:
            link.tell(NOTHING, now)
            self._send(link, wire.Drain())
        self._recall_own()

    def _depart(self, now: float) -> None:
        unfinished, owing = self._runs.unfinished, self._ledger.unacknowledged
        awaited = owing or (not unfinished and not self._part(now))
        over = self._departure.is_over(unfinished, awaited, now)
        if not over and not self._departure.forced:
            return
        for link in self._links:
            self._send(link, wire.Bye())
        reason = "forced" if self._departure.forced else self._departure.reason
        self._out.append(ev.Exit(reason or "drained"))
        self._exited = True

    def _part(self, now: float) -> bool:
        """Say whether no broker has tasks under way to us.

        One may have given some before it heard that we leave. A HELLO that holds nothing has
        it take them back, and by its WELCOME we know.
        """
        for link in self._links:
            if link.welcomed and not link.parting:
                link.parting = True
                self._greet(link, now)
        return all(link.welcomed for link in self._links if link.parting)

    # What goes out ---------------------------------------------------------------------

    def _greet_if_due(self, link: Link, now: float) -> None:
        if link.hello_due(now):
            self._greet(link, now)

    def _greet(self, link: Link, now: float) -> None:
        self._links_due = None
        session = link.greet(now)
        grant = self._tell(link, now)
        hello = wire.Hello(
            version=wire.VERSION,
            label=self._identity.label,
            instance=self._identity.instance,
            session=session,
            pid=self._identity.pid,
            slots=grant.slots,
            ahead=grant.ahead,
            offers=self._offers,
            held=self._ledger.held(link.index),
        )
        self._send(link, hello)

    def _return(self, link: Link, attempts: list[wire.Attempt], now: float) -> None:
        grant = self._tell(link, now)
        self._send(link, wire.Return(grant.slots, grant.ahead, attempts))

    def _send(self, link: Link, message: wire.FromWorker) -> None:
        self._out.append(ev.Send(link.index, message))


def _is_shared(run: Run) -> bool:
    """Say whether several brokers wait for ``run``: then it stays here."""
    return len({debt.link for debt in run.debts}) > 1
