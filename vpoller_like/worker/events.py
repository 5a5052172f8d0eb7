"""What happens to the core, and what it wants done.

``key`` names a run inside this process; task numbers are a broker's and may repeat.
Times are monotonic seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from vpoller_like.protocol.worker import FromBroker, FromWorker
from vpoller_like.worker.run import Finished, Run


class _Record(msgspec.Struct, frozen=True, gc=False):
    # Made in a fifth of the time that a tuple with names takes, and several times for each
    # task. None can be part of a cycle, so the collector need not look at them.
    pass


# Events --------------------------------------------------------------------------------


class Received(_Record, frozen=True, gc=False):
    """The broker behind ``link`` (its place among the backends) says something."""

    link: int
    message: FromBroker


class Unsent(_Record, frozen=True, gc=False):
    """A message could not be sent: the broker is not connected, or its queue is full."""

    link: int
    message: FromWorker


class Started(_Record, frozen=True, gc=False):
    """A thread has begun a run."""

    key: int
    at: float


class Progress(_Record, frozen=True, gc=False):
    """What the executor did since the last time.

    A run that started and finished in between need not be among the ``started``.
    """

    started: Sequence[Started]
    finished: Sequence[Finished]


class Recalled(_Record, frozen=True, gc=False):
    """The answer to :class:`Recall`: the runs that were not started, and now will not be."""

    keys: Sequence[int]


class Tick(_Record, frozen=True, gc=False):
    """Time has passed. To be sent when ``next_due`` says so, at least."""


class DrainRequested(_Record, frozen=True, gc=False):
    """Finish what runs and end; the second one says: end at once."""


class RetireRequested(_Record, frozen=True, gc=False):
    """Others take over: finish what runs, however long its methods allow it, and end."""


Event = Received | Unsent | Progress | Recalled | Tick | DrainRequested | RetireRequested

# Actions -------------------------------------------------------------------------------


class Send(_Record, frozen=True, gc=False):
    """Send ``message`` to the broker behind ``link``; if it cannot be, say :class:`Unsent`."""

    link: int
    message: FromWorker


class Submit(_Record, frozen=True, gc=False):
    """Give these to the executor, in this order and behind those given before."""

    runs: Sequence[Run]


class Recall(_Record, frozen=True, gc=False):
    """Take back from the executor what it has not started of ``keys``; say :class:`Recalled`."""

    keys: Sequence[int]


class Replace(_Record, frozen=True, gc=False):
    """A task never returns: a new process is to take over.

    This one ends by itself within ``seconds``, or is to be killed then.
    """

    seconds: float


class Exit(_Record, frozen=True, gc=False):
    """This process's work is done."""

    #: ``drained``, ``stuck`` or ``forced``.
    reason: str


Action = Send | Submit | Recall | Replace | Exit
