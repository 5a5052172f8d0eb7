"""What comes by a port, and what becomes of what is sent."""

from __future__ import annotations

import enum
from typing import NamedTuple


class Sent(enum.Enum):
    """What became of a message that was to be sent."""

    DONE = "done"
    #: The peer's queue is full; nothing was sent.
    FULL = "full"
    #: There is no such peer any more; nothing was sent.
    GONE = "gone"


# To find an enumeration's member takes longer than to compare it.
DONE, FULL, GONE = Sent.DONE, Sent.FULL, Sent.GONE


class Message(NamedTuple):
    """A message's frames; ``truncated`` if there were more than are kept.

    ``user`` is who sent it, where the connection had to show that (see
    :attr:`Port.asks_users`).
    """

    frames: list[bytes]
    truncated: bool
    user: str = ""
