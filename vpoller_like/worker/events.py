"""What happens to the core, and what it wants done.

``key`` names a run inside this process; task numbers are a broker's and may repeat.
Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from vpoller_like.protocol.worker import Assignment, FromBroker, FromWorker

# Events --------------------------------------------------------------------------------


class Received(NamedTuple):
    """The broker behind ``link`` (its place among the backends) says something."""

    link: int
    message: FromBroker


class Unsent(NamedTuple):
    """A message could not be sent: the broker is not connected, or its queue is full."""

    link: int
    message: FromWorker


class Started(NamedTuple):
    """A thread has begun a run."""

    key: int
    at: float


class Finished(NamedTuple):
    """A run is over. ``code`` is empty for a success; ``body`` is the reply's envelope."""

    key: int
    code: str
    ran_us: int
    body: bytes


class Progress(NamedTuple):
    """What the executor did since the last time.

    A run that started and finished in between need not be among the ``started``.
    """

    started: Sequence[Started]
    finished: Sequence[Finished]


class Recalled(NamedTuple):
    """The answer to :class:`Recall`: the runs that were not started, and now will not be."""

    keys: Sequence[int]


class Tick(NamedTuple):
    """Time has passed. To be sent when ``next_due`` says so, at least."""


class DrainRequested(NamedTuple):
    """Finish what runs and end; the second one says: end at once."""


Event = Received | Unsent | Progress | Recalled | Tick | DrainRequested

# Actions -------------------------------------------------------------------------------


class Send(NamedTuple):
    """Send ``message`` to the broker behind ``link``; if it cannot be, say :class:`Unsent`."""

    link: int
    message: FromWorker


class Run(NamedTuple):
    """Give a task to the executor, behind those given before."""

    key: int
    assignment: Assignment


class Recall(NamedTuple):
    """Take back from the executor what it has not started of ``keys``; say :class:`Recalled`."""

    keys: Sequence[int]


class Replace(NamedTuple):
    """A task never returns: a new process is to take over.

    This one ends by itself within ``seconds``, or is to be killed then.
    """

    seconds: float


class Exit(NamedTuple):
    """This process's work is done."""

    #: ``drained``, ``stuck`` or ``forced``.
    reason: str


Action = Send | Run | Recall | Replace | Exit
