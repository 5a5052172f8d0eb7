"""Workers that a send did not find: given up once what they had sent before is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from vpoller_like.broker.events import PeerGone
from vpoller_like.broker.packs import Packs
from vpoller_like.protocol.worker import Attempt

#: Seconds that the messages of a worker that is gone may take to be read.
READ_SECONDS = 0.2


class Gone:
    """Peers of the backend that are gone, and what was given to them and has not left.

    Times are monotonic seconds.
    """

    def __init__(self, packs: Packs) -> None:
        self._packs = packs
        #: Before the last wait, and since then: what they had sent may arrive with the next.
        self._before: set[bytes] = set()
        self._since: set[bytes] = set()
        self._unsent: dict[bytes, list[Attempt]] = {}
        self._read_by = 0.0
        #: Somebody is gone and not given up yet.
        self.any = False

    def note(self, peers: Iterable[bytes]) -> None:
        """A send to each of ``peers`` found nobody."""
        self._since.update(peers)
        self.any = bool(self._since or self._before)

    def keep(self, peer: bytes, unsent: Sequence[Attempt]) -> None:
        """``unsent`` was given to ``peer`` and has not left."""
        self._unsent.setdefault(peer, []).extend(unsent)

    def take(self, more_to_read: bool, now: float) -> Iterator[PeerGone]:
        """Yield those who are to be given up now; each is to be handled before the next.

        What one of them held may be given to another one of them, and has not left then.
        ``more_to_read`` says that messages wait at the backend, of theirs among others.
        """
        if not self.any or (more_to_read and now < self._read_by):
            return
        gone, self._before, self._since = self._before, self._since, set()
        self.any = bool(self._before)
        self._read_by = now + READ_SECONDS
        for peer in gone:
            yield PeerGone(peer, self._take_unsent(peer))

    def _take_unsent(self, peer: bytes) -> list[Attempt]:
        return [*self._unsent.pop(peer, ()), *self._packs.withdraw(peer)]
