"""At the doors that ask: who knocks is let in or not, and what happens there is told."""

from __future__ import annotations

import logging

from vpoller_like.broker.access import Access
from vpoller_like.broker.counters import Counters
from vpoller_like.broker.throttle import Throttle
from vpoller_like.transport.zap import Knock, Zap

log = logging.getLogger("vpoller.broker")


class Porter:
    """Answers libzmq's questions by the rules of ``access``."""

    def __init__(self, access: Access, counters: Counters) -> None:
        self._access = access
        self._counters = counters
        self._throttle = Throttle()

    def answer(self, zap: Zap, ready: bool, now: float) -> None:
        """Answer those who knock; ``ready`` is what the poll said of the desk."""
        for knock in zap.knocks(ready):
            user, reason = self._access.admit(knock.domain, knock.public_key, knock.address)
            zap.answer(knock, user or None)
            if not user:
                self._refused(knock, reason, now)

    def _refused(self, knock: Knock, reason: str, now: float) -> None:
        """Count, and tell of it: a stranger who keeps knocking must not fill the log."""
        self._counters.refused_handshakes += 1
        others = self._throttle.others(now)
        if others is None:
            return
        log.warning(
            "%s: %s from %s is not let in: %s%s",
            knock.domain,
            f"key {knock.public_key[:8]}..." if knock.public_key else "a client without a key",
            knock.address,
            reason,
            others,
        )
