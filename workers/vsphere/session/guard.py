"""What stands between requests and a vCenter, for the good of both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from workers.vsphere.faults import Sign, sign_of
from workers.vsphere.session.breaker import Breaker
from workers.vsphere.session.slots import Slots

T = TypeVar("T")

#: The signs of a host that does not even answer a knock.
_NO_ANSWER = (Sign.DEAD, Sign.DOUBTFUL)


class Guard:
    """Lets calls through to one host: not too many at once, and none while it is dead.

    ``knock`` asks the host for the little that it tells anybody, and raises what goes
    wrong. It decides where a call's failure leaves open whether the host is dead or that
    call was too much for it, and whether a host that was dead is back.
    """

    def __init__(
        self,
        breaker: Breaker,
        slots: Slots,
        knock: Callable[[], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._breaker = breaker
        self._slots = slots
        self._knock = knock
        self._clock = clock
        self._knocking = threading.Lock()

    def run(self, call: Callable[[], T]) -> T:
        """Return ``call()``; raise what it raises.

        Raises ``NotYet`` at once, from the latest failure, while the host is taken for
        dead, and ``TooManyCalls`` where no slot gets free in time.
        """
        if self._breaker.admit():
            self._try_again()
        with self._slots.taken():
            # It may have died while this call waited.
            self._breaker.refuse()
            return self._watched(call)

    def forgive(self) -> None:
        """Forget failures, so that the next call is made at once."""
        self._breaker.reset()

    def _watched(self, call: Callable[[], T]) -> T:
        started = self._clock()
        try:
            result = call()
        except Exception as error:
            self._judge(error, started)
            raise
        self._breaker.answered()
        return result

    def _judge(self, error: Exception, started: float) -> None:
        sign = sign_of(error)
        if sign is Sign.ALIVE:
            self._breaker.answered()
        elif sign is Sign.DEAD:
            self._breaker.failed(error)
        elif sign is Sign.DOUBTFUL:
            self._make_sure(started)

    def _make_sure(self, started: float) -> None:
        """Ask whether the host answers at all, unless it has answered others meanwhile."""
        if self._breaker.state != "closed" or self._breaker.has_answered(started):
            return
        # One of several that fail together asks, the others need not wait for it.
        if not self._knocking.acquire(blocking=False):
            return
        try:
            self._knock()
        except Exception as error:
            if sign_of(error) in _NO_ANSWER:
                self._breaker.failed(error)
        else:
            self._breaker.answered()
        finally:
            self._knocking.release()

    def _try_again(self) -> None:
        try:
            self._knock()
        except Exception as error:
            if sign_of(error) in _NO_ANSWER:
                self._breaker.failed(error, tried=True)
                self._breaker.refuse()
                return
        except BaseException:
            self._breaker.failed(InterruptedError("the try was interrupted"), tried=True)
            raise
        # Whatever else was wrong, the call itself tells it best.
        self._breaker.answered()
