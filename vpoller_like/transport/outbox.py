"""Sending without blocking: what a peer does not take yet waits, up to a bound."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from itertools import islice

from vpoller_like.transport.compiled import compiled
from vpoller_like.transport.message import DONE, FULL, GONE, Sent
from vpoller_like.transport.port import Port

#: What a waiting message costs beside its frames' bytes.
OVERHEAD = 256
#: Seconds between two flushes while some peer has lately taken something, and while none
#: has. Where the last flush found room the next one follows at once.
SOON = 0.002
LATER = 0.05
LATELY = 0.1
#: Messages to one peer that are tried together.
TRIED_MESSAGES = 64
#: Peers that one flush tries; the others have their turn in the next ones.
FLUSHED_PEERS = 128


class Line:
    """What waits for one peer."""

    __slots__ = ("_sizes", "bytes", "messages", "stuck_since")

    def __init__(self) -> None:
        self.messages: deque[Sequence[bytes]] = deque()
        self._sizes: deque[int] = deque()
        self.bytes = 0
        #: Since when it has taken nothing, as far as flushes have seen; monotonic seconds.
        self.stuck_since: float | None = None

    def push(self, frames: Sequence[bytes], size: int) -> None:
        """Add a message at the end, which costs ``size``."""
        self.messages.append(frames)
        self._sizes.append(size)
        self.bytes += size

    def pop(self) -> None:
        """The first message has been sent."""
        self.messages.popleft()
        self.bytes -= self._sizes.popleft()
        self.stuck_since = None

    def stuck_for(self, now: float) -> float:
        """It takes nothing now; return for how many seconds that is so."""
        if self.stuck_since is None:
            self.stuck_since = now
        return now - self.stuck_since


@compiled
class Outlet(ABC):
    """Sends by ``port`` what its peer takes now; what waits is a subclass's.

    ``_waiting`` names the peers for which something waits.
    """

    def __init__(self, port: Port) -> None:
        self._port = port
        self._waiting: dict[bytes, Line] = {}
        #: When a flush is due; infinity where nothing waits.
        self.due = float("inf")

    def send(self, frames: Sequence[bytes]) -> Sent:
        """Send, or keep for later; FULL says that the message is lost."""
        if frames[0] not in self._waiting:
            sent = self._port.send(frames)
            if sent is not FULL:
                return sent
        return self.keep(frames)

    def send_all(self, messages: Sequence[Sequence[bytes]]) -> list[Sent]:
        """Send, or keep for later, one after the other; FULL says which are lost."""
        if not self._waiting:
            outcomes = self._port.send_all(messages)
        else:
            # What follows something that waits, waits.
            free = [frames for frames in messages if frames[0] not in self._waiting]
            tried = iter(self._port.send_all(free))
            outcomes = [FULL if frames[0] in self._waiting else next(tried) for frames in messages]
        if FULL in outcomes:
            for index, sent in enumerate(outcomes):
                if sent is FULL:
                    outcomes[index] = self.keep(messages[index])
        return outcomes

    @abstractmethod
    def keep(self, frames: Sequence[bytes]) -> Sent:
        """Keep a message for later, if there is room for it."""


class Outbox(Outlet):
    """The sending side of a ROUTER's port. The first frame of a message names the peer.

    Messages to one peer keep their order. ``max_bytes`` bounds what waits for all peers
    together, ``peer_bytes`` what waits for one, each message counted with ``OVERHEAD``. Nor
    does one peer get more than it leaves free, so that there is room for the next one. Its
    first message may be as large as what is free. A message beyond that is refused. A peer
    that takes nothing for ``patience`` seconds is given up.
    """

    def __init__(self, port: Port, max_bytes: int, peer_bytes: int, patience: float = 60.0) -> None:
        super().__init__(port)
        self._max_bytes = max_bytes
        self._peer_bytes = peer_bytes
        self._patience = patience
        self.bytes = 0
        #: Messages that waited for a peer which left or was given up.
        self.dropped = 0

    @property
    def peers(self) -> int:
        """For how many peers something waits."""
        return len(self._waiting)

    @property
    def messages(self) -> int:
        """How many messages wait."""
        return sum(len(line.messages) for line in self._waiting.values())

    def keep(self, frames: Sequence[bytes]) -> Sent:
        """Keep a message for later; FULL says that there is no room, and DONE that there was."""
        line = self._waiting.get(frames[0])
        size = size_of(frames)
        free = self._max_bytes - self.bytes
        if size > free:
            return FULL
        if line is None:
            line = self._waiting[frames[0]] = Line()
            self.due = 0.0
        elif line.bytes + size > min(self._peer_bytes, free):
            return FULL
        self.bytes += size
        line.push(frames, size)
        return DONE

    def flush(self, now: float) -> list[bytes]:
        """Try again what waits, if it is time; return the peers that are gone or given up."""
        if now < self.due:
            return []
        self.due = now + LATER
        peers = list(islice(self._waiting, FLUSHED_PEERS))
        gone = [peer for peer in peers if self._flush_peer(peer, now) is GONE]
        if not self._waiting:
            self.due = float("inf")
        return gone

    def _flush_peer(self, peer: bytes, now: float) -> Sent:
        # At the end, if it remains: the next flush begins with others.
        line = self._waiting.pop(peer)
        before = line.bytes
        sent = self._send_line(line)
        self.bytes -= before - line.bytes
        if sent is FULL and self._is_waited_for(line, now):
            self._waiting[peer] = line
            return sent
        self.bytes -= line.bytes
        self.dropped += len(line.messages)
        return GONE if line.messages else DONE

    def _send_line(self, line: Line) -> Sent:
        # One at first: most that are tried have no room yet.
        tried = 1
        while line.messages:
            outcomes = self._port.send_all(list(islice(line.messages, tried)))
            for sent in outcomes:
                if sent is not DONE:
                    return sent
                line.pop()
                # There is room again, and soon there will be more.
                self.due = 0.0
            tried = TRIED_MESSAGES
        return DONE

    def _is_waited_for(self, line: Line, now: float) -> bool:
        stuck = line.stuck_for(now)
        if stuck < LATELY:
            self.due = min(self.due, now + SOON)
        return stuck <= self._patience


def size_of(frames: Sequence[bytes]) -> int:
    """Return what a waiting message costs, in bytes."""
    return OVERHEAD + sum(map(len, frames))
