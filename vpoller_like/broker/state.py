"""Where a task is."""

from __future__ import annotations

import enum


class State(enum.Enum):
    """Where a task is."""

    #: Workers are being asked whether they know its id.
    SEEKING = "seeking"
    QUEUED = "queued"
    RUNNING = "running"
    #: With a plain REP worker.
    PLAIN = "plain"
    DONE = "done"


# To find an enumeration's member takes longer than most of what is done with it.
QUEUED, RUNNING, DONE = State.QUEUED, State.RUNNING, State.DONE
