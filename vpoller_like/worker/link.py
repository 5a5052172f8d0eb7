"""The session with one broker: when to greet it, and when to show that we live."""

from __future__ import annotations

from vpoller_like.backoff import exponential
from vpoller_like.protocol.worker import Welcome
from vpoller_like.worker.figures import HEARTBEAT
from vpoller_like.worker.standing import Standing

#: Seconds between HELLOs that nobody answers.
HELLO_EVERY = 1.0
#: Seconds until a HELLO that could not be sent is tried again.
HELLO_RETRY = 0.1
#: Seconds between HELLOs at the least, however often the broker asks.
HELLO_PAUSE = 0.05
#: Seconds between HELLOs at the most, to a broker that does not understand them.
HELLO_BACKOFF = 30.0

_NEVER = float("-inf")


class Link(Standing):
    """Says when to greet the broker, and when to show that we live.

    A HELLO that could not be sent is tried again after ``retry`` seconds.
    """

    def __init__(self, index: int, retry: float = HELLO_RETRY) -> None:
        super().__init__(index)
        self._retry = retry
        #: The HELLO before BYE has been said; nobody to hear it makes it needless.
        self.parting = False
        self.epoch: str | None = None
        self._greeted_at = _NEVER
        #: HELLOs since the last WELCOME that were answered with RESYNC or REFUSED.
        self._fruitless = 0
        #: The HELLO that was answered so last; several messages sent before it may be, too.
        self._fruitless_session = 0
        self._heartbeat = HEARTBEAT

    def hello_due(self, now: float) -> bool:
        """Say whether it is time for a HELLO: nobody answered one, or nobody is heard."""
        return now >= self._next_hello()

    def greet(self, now: float) -> int:
        """A HELLO goes out; return its session's number."""
        self.welcomed = False
        self.session += 1
        self.outbox.rewind(now)
        self._greeted_at = now
        self._hello_due = now + HELLO_EVERY
        return self.session

    def greet_again(self, now: float) -> None:
        """The broker does not know us: greet it soon."""
        self.welcomed = False
        self._hello_due = max(now, self._greeted_at + HELLO_PAUSE)

    def back_off(self, now: float) -> None:
        """RESYNC came while a HELLO was under way: it was perhaps not understood.

        Or it answers something that was sent before; then WELCOME follows, and nothing is
        lost by waiting. But it may be one of many, and the HELLO lost: they count once.
        """
        if self._fruitless_session == self.session:
            return
        self._fruitless_session = self.session
        self._fruitless += 1
        delay = exponential(self._fruitless, base=2 * HELLO_EVERY, limit=HELLO_BACKOFF)
        self._hello_due = max(self._hello_due, now + delay)

    def turned_away(self, now: float) -> None:
        """The broker does not take us: ask again, less and less often."""
        self.welcomed = False
        self.parting = False
        self.back_off(now)

    def unreachable(self, now: float) -> None:
        """A message could not be sent. What it said is said again after the next HELLO."""
        self.welcomed = False
        self.parting = False
        self._fruitless = 0
        self._hello_due = now + self._retry

    def welcome(self, message: Welcome, now: float) -> bool:
        """The broker knows us; return whether it has lost its memory since the last time."""
        lost = self.epoch is not None and self.epoch != message.epoch
        self.epoch = message.epoch
        self._heartbeat = message.heartbeat_ms / 1000
        self._liveness = message.liveness_ms / 1000
        self.max_reply = message.max_reply
        self.welcomed = True
        self._fruitless = 0
        self._beat_due = now + self._heartbeat
        return lost

    def beat_due(self, now: float) -> bool:
        """Say whether it is time to show that we live."""
        return self.welcomed and now >= self._beat_due

    def beat(self, now: float) -> None:
        """A HEARTBEAT goes out."""
        self._beat_due = now + self._heartbeat

    def may_tell(self, now: float) -> bool:
        """Say whether a new grant may be told for its own sake."""
        return self.welcomed and now >= self.next_tell

    def _next_hello(self) -> float:
        return self.heard_at + self._liveness if self.welcomed else self._hello_due
