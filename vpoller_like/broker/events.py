"""What happens to the core, and what it wants done."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from vpoller_like.broker.compiled import compiled
from vpoller_like.protocol.envelope import Envelope
from vpoller_like.protocol.request import Head
from vpoller_like.protocol.worker import Assignment, Attempt, FromBroker, FromWorker

#: On whose account requests are, and among whom queues are fair: a principal, or else the
#: routing id of a connection. A run that a worker brought along is on the worker's.
Share = str | bytes | tuple[str, bytes]


class Light(msgspec.Struct, frozen=True, gc=False):
    """What there is one of for each request: made in a third of a named tuple's time."""


# Events --------------------------------------------------------------------------------


@compiled
class Request(Light, frozen=True):
    """A client asks; and from then on, waits.

    ``principal`` is whom ids belong to. ``index`` is its place in a batch; ``None`` if it came
    alone.
    """

    envelope: Envelope
    body: bytes
    head: Head
    principal: str = ""
    index: int | None = None

    @property
    def share(self) -> Share:
        """On whose account it is."""
        return self.principal or self.envelope[0]

    def without_body(self) -> Request:
        """Return what waits on where the body is not needed any more."""
        return Request(self.envelope, b"", self.head, self.principal, self.index)


@compiled
class WorkerSays(Light, frozen=True):
    """A worker's message, from the connection with routing id ``peer``.

    ``key`` is the public key that the connection showed, where it had to show one.
    """

    peer: bytes
    message: FromWorker
    key: str = ""


class WorkerGarbled(NamedTuple):
    """Bytes that are no message came from ``peer``."""

    peer: bytes


class PeerGone(NamedTuple):
    """A send to the worker at ``peer`` found nobody there.

    ``unsent`` was given to it and has not left: it has certainly not run.
    """

    peer: bytes
    unsent: Sequence[Attempt] = ()


class PeerLeft(NamedTuple):
    """Some connection of the backend has closed; which one is not known."""


class PlainReply(NamedTuple):
    """A plain worker's reply to the request sent under ``token``."""

    token: bytes
    body: bytes


class PlainGarbled(NamedTuple):
    """A plain worker's reply to the request sent under ``token`` is not one frame."""

    token: bytes


class PlainPeers(NamedTuple):
    """How many plain workers are connected now."""

    peers: int


class PlainRefused(NamedTuple):
    """The request under ``token`` could not be sent: all plain workers are full."""

    token: bytes


class Tick(NamedTuple):
    """Time has passed. To be sent several times per second."""


class KeysChanged(NamedTuple):
    """Keys: ``revoked`` are no worker's any more, ``changed`` may serve other methods."""

    revoked: frozenset[str]
    changed: frozenset[str]


class WorkersToLeave(NamedTuple):
    """The workers with these ``instances`` are to finish what they hold, and end."""

    instances: Sequence[str]


class DrainAsked(NamedTuple):
    """Accept nothing new; finish what was accepted."""


class StopAsked(NamedTuple):
    """Answer whatever is left, now."""


Event = (
    Request
    | WorkerSays
    | WorkerGarbled
    | PeerGone
    | PeerLeft
    | PlainReply
    | PlainGarbled
    | PlainPeers
    | PlainRefused
    | Tick
    | KeysChanged
    | WorkersToLeave
    | DrainAsked
    | StopAsked
)

# Actions -------------------------------------------------------------------------------


@compiled
class Reply(Light, frozen=True):
    """Send ``body`` to the client behind ``envelope``: the answer to all that it had sent, or
    to one request, by its ``index``, of a batch.
    """

    envelope: Envelope
    body: bytes
    index: int | None = None


@compiled
class Give(Light, frozen=True):
    """Send tasks to a worker, in this order; those of several are packed into one TASKS."""

    peer: bytes
    session: int
    items: list[Assignment]


class Tell(NamedTuple):
    """Send a message to a worker."""

    peer: bytes
    message: FromBroker


class AskPlain(NamedTuple):
    """Send ``body`` to any plain worker, under ``token``."""

    token: bytes
    body: bytes


Action = Reply | Give | Tell | AskPlain
