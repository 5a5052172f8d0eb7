"""Keeps a worker's processes running, and ends them all when it ends."""

from __future__ import annotations

import contextlib
import logging
import os
import platform
import selectors
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

import msgspec

from vpoller_like.clock import Clock, monotonic
from vpoller_like.config import Settings, WorkerSettings
from vpoller_like.protocol.limits import MAX_LABEL
from vpoller_like.transport.waker import Waker
from vpoller_like.worker import control
from vpoller_like.worker.child import Child
from vpoller_like.worker.links import worker_credentials
from vpoller_like.worker.slot import Slot

log = logging.getLogger("vpoller.worker")


class Patience(msgspec.Struct, frozen=True):
    """How many seconds the supervisor waits for what."""

    #: For agents to be loaded and set up.
    setup: float = 120.0
    #: For a sign that a process's loop runs; ``worker.stuck_ms``.
    beat: float = 15.0
    #: For a process to end, beyond the time that it was given to drain: for the last
    #: acknowledgements, and for the agents to give back what they hold.
    ending: float = 10.0
    #: For a process that stands still to say where, before it is killed.
    last_words: float = 0.2
    #: Between two looks around.
    look: float = 1.0


def patience_for(settings: WorkerSettings) -> Patience:
    """Return the patience that ``settings`` ask for."""
    beat = settings.stuck_ms / 1000
    return Patience(beat=beat, look=min(1.0, beat / 4))


class Supervisor:
    """Runs ``settings.worker.processes`` processes; 0 is one for each core."""

    def __init__(
        self, settings: Settings, patience: Patience | None = None, clock: Clock = monotonic
    ) -> None:
        self._settings = settings
        self._patience = patience or patience_for(settings.worker)
        self._clock = clock
        self._waker = Waker()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._waker.fd, selectors.EVENT_READ)
        self._slots = [Slot(label) for label in _labels(settings)]
        #: Replaced, but not dead yet.
        self._retired: list[Child] = []
        self._ever_up = False
        self._looked_at = clock()
        self._stops_asked = 0
        self._stops_begun = 0
        self._reload_asked = False
        self._draining = False
        self._exit_code = 0
        self._listen: dict[type[Any], Callable[[Child, Any], None]] = {
            control.Up: self._up,
            control.Beat: self._beat,
            control.Failed: self._failed,
            control.Stuck: self._stuck,
            control.Leaving: lambda *_: self._drain_all(),
            control.Done: self._done,
        }

    def run(self) -> int:
        """Supervise until :meth:`stop`, or until nothing is left to do; return the exit code."""
        try:
            while not self._finished():
                self._stop_if_asked()
                self._reload_if_asked()
                self._start_due()
                self._wait()
                self._excuse_pause()
                self._read_reports()
                self._reap()
                self._kill_overdue()
        finally:
            self._end_all()
        return self._exit_code

    def stop(self) -> None:
        """Drain all processes and end; the second call kills them. From any thread."""
        self._stops_asked += 1
        self._waker.wake()

    def reload(self) -> None:
        """Have all processes ask their agents whether their hosts are others now.

        From any thread. They do so every couple of seconds anyway.
        """
        self._reload_asked = True
        self._waker.wake()

    @property
    def pids(self) -> dict[int, str]:
        """The processes that run, with their labels; the replaced ones are among them."""
        return {child.pid: child.label for child in self._children()}

    # Starting --------------------------------------------------------------------------

    def _start_due(self) -> None:
        for slot in self._slots:
            if slot.is_due(self._clock()):
                self._start(slot)

    def _start(self, slot: Slot) -> None:
        try:
            child = Child(self._settings, slot.label, self._clock())
        except OSError as error:
            delay = slot.died(None, self._clock())
            log.error("worker %s: cannot start (%s); next in %.1f s", slot.label, error, delay)
            return
        self._selector.register(child.reports, selectors.EVENT_READ)
        self._selector.register(child.death, selectors.EVENT_READ)
        slot.fill(child)
        log.info("worker %s: started (pid %d)", child.label, child.pid)

    # Listening -------------------------------------------------------------------------

    def _wait(self) -> None:
        dues = [slot.start_at for slot in self._slots if slot.start_at is not None]
        dues += [child.kill_at for child in self._children() if child.kill_at is not None]
        due = min(dues, default=float("inf")) - self._clock()
        self._selector.select(max(0.0, min(due, self._patience.look)))
        self._waker.clear()

    def _excuse_pause(self) -> None:
        """A pause of the whole machine is not held against the processes."""
        now = self._clock()
        pause = now - self._looked_at - self._patience.look
        self._looked_at = now
        if pause > self._patience.look:
            for child in self._children():
                child.heard_at += pause

    def _read_reports(self) -> None:
        for child in self._children():
            for report in child.reports.read():
                child.heard_at = self._clock()
                self._listen[type(report)](child, report)
            if child.reports.closed:
                self._unregister(child.reports)

    def _up(self, child: Child, _: control.Up) -> None:
        self._ever_up = True
        child.up_at = self._clock()
        log.info("worker %s: up (pid %d)", child.label, child.pid)

    def _beat(self, child: Child, report: control.Beat) -> None:
        child.heard_at -= report.age

    def _failed(self, child: Child, report: control.Failed) -> None:
        child.failure = report.message

    def _stuck(self, child: Child, report: control.Stuck) -> None:
        now = self._clock()
        log.warning("worker %s: stuck (pid %d); replacing it", child.label, child.pid)
        child.kill_by(now + report.seconds + self._patience.ending)
        for slot in self._slots:
            if slot.child is child:
                self._retired.append(child)
                slot.vacate(now)

    def _done(self, child: Child, _: control.Done) -> None:
        child.done = True
        child.kill_by(self._clock() + self._patience.ending)

    # Reaping ---------------------------------------------------------------------------

    def _reap(self) -> None:
        for slot in self._slots:
            if slot.child is not None and slot.child.exit_code() is not None:
                self._died(slot, slot.child)
        dead = [child for child in self._retired if child.exit_code() is not None]
        for child in dead:
            self._let_go(child)
            self._retired.remove(child)
        self._give_up_if_hopeless()

    def _died(self, slot: Slot, child: Child) -> None:
        self._let_go(child)
        if child.done:
            slot.close()  # Not asked by us, but by a broker.
            return
        delay = slot.died(child, self._clock())
        if child.failure is None:
            how = _how(child.exit_code())
            log.error("worker %s: died (%s); next in %.1f s", child.label, how, delay)
        elif self._ever_up:
            log.error("worker %s: %s; next try in %.1f s", child.label, child.failure, delay)

    def _let_go(self, child: Child) -> None:
        # What it said last, such as why it fails, may still be unread.
        for report in child.reports.read():
            self._listen[type(report)](child, report)
        log.info("worker %s: ended (pid %d, %s)", child.label, child.pid, _how(child.exit_code()))
        self._unregister(child.reports)
        self._unregister(child.death)
        child.close()

    def _unregister(self, source: control.Reports | int) -> None:
        with contextlib.suppress(KeyError):
            self._selector.unregister(source)

    def _give_up_if_hopeless(self) -> None:
        """End where no process ever came up: what is wrong will not mend itself."""
        failures = [slot.failure for slot in self._slots if slot.failure is not None]
        ending = self._draining or self._exit_code
        if self._ever_up or ending or len(failures) < len(self._slots):
            return
        log.error("%s", failures[0])
        self._exit_code = 1
        self._close_slots()

    # Reloading -------------------------------------------------------------------------

    def _reload_if_asked(self) -> None:
        if not self._reload_asked:
            return
        self._reload_asked = False
        log.info("reloading")
        for child in self._children():
            child.reload()

    # Ending ----------------------------------------------------------------------------

    def _stop_if_asked(self) -> None:
        while self._stops_begun < self._stops_asked:
            self._stops_begun += 1
            if self._stops_begun == 1:
                self._drain_all()
            else:
                log.warning("ending at once")
                for child in self._children():
                    child.kill()

    def _drain_all(self) -> None:
        if self._draining:
            return  # A process that is told twice ends at once.
        self._draining = True
        log.info("draining")
        self._close_slots()
        by = self._clock() + self._patience.ending
        for child in self._children():
            child.drain()
            # One that is not up runs nothing that would take time to finish.
            child.kill_by(by if child.up_at is None else by + self._settings.worker.drain_ms / 1000)

    def _close_slots(self) -> None:
        for slot in self._slots:
            if slot.child is not None:
                self._retired.append(slot.child)
            slot.close()

    def _kill_overdue(self) -> None:
        now = self._clock()
        for child in self._children():
            limit = self._patience.setup if child.up_at is None else self._patience.beat
            # One that is done says nothing any more, and has its time to end.
            if not child.done and now - child.heard_at > limit and child.say_where():
                log.error("worker %s: stood still for %g s; killing it", child.label, limit)
                child.kill_by(now + self._patience.last_words)
            elif child.kill_at is not None and now >= child.kill_at:
                log.warning("worker %s: does not end; killing it", child.label)
                child.kill()

    def _finished(self) -> bool:
        return not self._retired and all(
            slot.child is None and slot.start_at is None for slot in self._slots
        )

    def _end_all(self) -> None:
        """Leave no process behind, whatever has happened."""
        for child in self._children():
            child.kill()
        for child in self._children():
            child.wait()
            child.close()
        self._selector.close()
        self._waker.close()

    def _children(self) -> list[Child]:
        return [*(slot.child for slot in self._slots if slot.child is not None), *self._retired]


def _labels(settings: Settings) -> list[str]:
    name = settings.worker.name or platform.node() or "worker"
    count = settings.worker.processes or os.cpu_count() or 1
    return [f"{name[: MAX_LABEL - 5]}/{index}" for index in range(count)]


def _how(code: int | None) -> str:
    if code is None or code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


@contextlib.contextmanager
def _signals(supervisor: Supervisor) -> Iterator[None]:
    """Let SIGTERM and SIGINT stop ``supervisor``, and SIGHUP reload; only a main thread can."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def on_signal(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        supervisor.stop()

    handlers: dict[int, Any] = {
        signal.SIGTERM: on_signal,
        signal.SIGINT: on_signal,
        control.RELOAD: lambda *_: supervisor.reload(),
    }
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def run_worker(settings: Settings) -> int:
    """Run a worker in the foreground until SIGTERM or SIGINT; return the exit code.

    The first signal drains: running tasks finish. A second one ends at once. SIGHUP has
    agents asked whether their hosts are others now. No process is left behind. Where no
    process can load its agents the reason is logged, and the exit code is 1. Raises
    ``ConfigError`` where its key cannot be read.
    """
    worker_credentials(settings)
    supervisor = Supervisor(settings)
    with _signals(supervisor):
        return supervisor.run()
