"""Who may touch the loop: one thread at a time, and another one stands ready."""

from __future__ import annotations

import threading

from vpoller_like.clock import Clock, monotonic
from vpoller_like.worker.alarm import NEVER, Alarm
from vpoller_like.worker.compiled import compiled
from vpoller_like.worker.figures import LEASE, RARE


@compiled
class Baton:
    """Whoever holds it owns the loop's state: the core, the sockets and the poll.

    The holder lays it down while it runs tasks, and goes on leading if it is done before the
    lease is over. Else the thread that stands in takes it up: it is woken by the alarm, so
    that tasks shorter than the lease wake nobody. For many of them it is put off in good
    time. Where they are rare it is switched off after each: that takes the kernel some
    microseconds, and a thread that wakes for nothing many times as long. At first nobody
    holds it.

    Each change of hands is a lock's, and so a full fence: libzmq asks for that where a
    socket moves between threads.
    """

    def __init__(self, clock: Clock = monotonic, alarm: Alarm | None = None) -> None:
        self._clock = clock
        self._alarm = alarm or Alarm()
        self._lock = threading.Lock()
        #: Says to who laid it down whether another thread has taken it up.
        self.is_taken = self._lock.locked
        #: Held by the thread that stands in; the others queue for it.
        self._post = threading.Lock()
        #: The holder lets go of it, or has done so.
        self._lies = False
        #: When it may be taken over.
        self._due = 0.0
        #: When the alarm rings; zero once it has, and while it is off.
        self._rings_at = 0.0
        #: The one before was laid down so long ago that the next one is not soon, either.
        self._is_rare = False
        self._ended = False
        self._lock.acquire()
        self.offer()

    # By the holder ---------------------------------------------------------------------

    def lay_down(self) -> None:
        """Let another thread have it if it is not taken up again within the lease."""
        now = self._clock()
        self._is_rare = now - self._due > RARE - LEASE
        self._due = now + LEASE
        # Before it is asked whether the alarm still rings: see stand_in.
        self._lies = True
        if self._rings_at <= self._due:
            self._rings_at = now + RARE
            self._alarm.set(RARE)
        self._lock.release()

    def offer(self) -> None:
        """Let another thread have it at once."""
        self._due = self._clock()
        self._lies = True
        self._rings_at = 0.0
        self._alarm.set(0.0)
        self._lock.release()

    # By who laid it down ---------------------------------------------------------------

    def take_up(self) -> bool:
        """Hold it again; False if another thread has it."""
        if not self._lock.acquire(False):
            return False
        self._lies = False
        if self._is_rare:
            self._rings_at = 0.0
            self._alarm.set(NEVER)
        return True

    # By all others ---------------------------------------------------------------------

    def stand_in(self) -> bool:
        """Wait until it is ours to hold; False once :meth:`end` was called."""
        with self._post:
            while not self._ended:
                self._alarm.wait()
                # Before it is asked whether the baton lies: a holder that is about to lay it
                # down may be anywhere in that, and one of the two is to see the other.
                self._rings_at = 0.0
                if self._take_over():
                    return True
            return False

    def _take_over(self) -> bool:
        while self._lies:
            if self._clock() < self._due:
                # Laid down anew, perhaps in reliance on the ring that was just heard.
                self._alarm.set(LEASE)
                return False
            # The holder may not quite have let go yet.
            if self._lock.acquire(timeout=LEASE):
                self._lies = False
                return True
        return False

    def end(self) -> None:
        """Let all that stand in go. By the holder, who keeps it."""
        self._ended = True
        self._alarm.set(0.0)
