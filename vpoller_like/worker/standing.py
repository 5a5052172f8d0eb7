"""How things stand with one broker: what each message to it and from it goes by."""

from __future__ import annotations

from vpoller_like.protocol.limits import MAX_REPLY
from vpoller_like.worker.compiled import compiled
from vpoller_like.worker.figures import GRANT_PAUSE, LIVENESS
from vpoller_like.worker.grant import NOTHING, Grant, is_news
from vpoller_like.worker.outbox import Outbox

_NEVER = float("-inf")


@compiled
class Standing:
    """What is known of one broker. Times are monotonic seconds.

    Who derives from it decides what it comes to: when the broker is to be greeted and when it
    is to hear that we live (``_hello_due``, ``_beat_due``), and what its WELCOME says.
    """

    def __init__(self, index: int) -> None:
        self.index = index
        self.outbox = Outbox()
        #: Counts the HELLOs.
        self.session = 0
        self.welcomed = False
        #: The last grant that was sent, and when.
        self.told: Grant = NOTHING
        self._told_at = _NEVER
        self._hello_due = _NEVER
        self._beat_due = _NEVER
        #: When the broker said something last.
        self.heard_at = _NEVER
        self._liveness = LIVENESS
        #: The largest reply that the broker takes, in bytes.
        self.max_reply = MAX_REPLY

    def tell(self, grant: Grant, now: float) -> bool:
        """A message with this grant goes out; return whether it is news."""
        told, self.told = self.told, grant
        self._told_at = now
        return is_news(told, grant)

    @property
    def next_tell(self) -> float:
        """From when on a new grant may be told for its own sake."""
        return self._told_at + GRANT_PAUSE

    def next_due(self) -> float:
        """Return when to look again whether a HELLO or HEARTBEAT is due."""
        if not self.welcomed:
            return self._hello_due
        return min(self.heard_at + self._liveness, self._beat_due)
