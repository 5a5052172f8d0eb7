"""What each principal has under way, so that none takes all there is."""

from __future__ import annotations

from vpoller_like.broker.compiled import compiled
from vpoller_like.broker.events import Share


@compiled
class Quota:
    """Requests that are not answered and bytes that wait, by share.

    ``max_requests`` bounds one share's requests; ``max_bytes`` is what all shares have
    together.
    """

    def __init__(self, max_requests: int, max_bytes: int) -> None:
        self.max_requests = max_requests
        self.max_bytes = max_bytes
        #: Waiting bytes of all shares.
        self.bytes = 0
        #: The most requests that one share has had at once.
        self.peak = 0
        #: The most bytes that have waited at once.
        self.peak_bytes = 0
        self._requests: dict[Share, int] = {}
        self._bytes: dict[Share, int] = {}

    def __bool__(self) -> bool:
        return bool(self._requests or self._bytes)

    @property
    def most(self) -> int:
        """How many requests the share with the most of them has now."""
        return max(self._requests.values(), default=0)

    def take(self, share: Share) -> bool:
        """One more of its requests is to be under way; say whether it may."""
        count = self._requests.get(share, 0)
        if count >= self.max_requests:
            return False
        self._requests[share] = count = count + 1
        if count > self.peak:
            self.peak = count
        return True

    def give_back(self, share: Share) -> None:
        """One of them is answered."""
        left = self._requests[share] - 1
        if left:
            self._requests[share] = left
        else:
            del self._requests[share]

    def has_room(self, share: Share, size: int) -> bool:
        """Say whether ``size`` more bytes of ``share`` may wait.

        A share gets at most as much as it leaves free. So one alone has half of all, two
        have a third each, and who comes next finds room whatever the others do. Where
        nothing waits, one thing may, however large it is.
        """
        free = self.max_bytes - self.bytes
        mine = self._bytes.get(share, 0)
        return not self.bytes or (size <= free and (not mine or mine + size <= free))

    def hold(self, share: Share, size: int) -> None:
        """``size`` bytes of ``share`` wait."""
        self.bytes += size
        if self.bytes > self.peak_bytes:
            self.peak_bytes = self.bytes
        self._bytes[share] = self._bytes.get(share, 0) + size

    def release(self, share: Share, size: int) -> None:
        """They wait no more."""
        self.bytes -= size
        left = self._bytes[share] - size
        if left:
            self._bytes[share] = left
        else:
            del self._bytes[share]
