"""A refused login, remembered, so that its repetition does not lock the account."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable

from workers.vsphere.faults import NotYet

#: Seconds for which a refused password is not tried again: after the first refusal, and the
#: most that it grows to. Several processes try it, and a vCenter locks an account after
#: five tries in three minutes, for five minutes: they must become too few for that.
FIRST_PAUSE = 60.0
LONGEST_PAUSE = 600.0
#: Seconds between two looks whether there is another password meanwhile: where it comes from
#: may be slow, such as a program.
LOOK_SECONDS = 5.0


class Refusal:
    """Remembers the password that was refused last; ``clock`` returns seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._error: Exception | None = None
        self._password = b""
        self._at = self._looked_at = self._since = 0.0
        self._pause = FIRST_PAUSE

    def checked(self, read: Callable[[], str]) -> str:
        """Return the password that ``read`` returns, unless that was refused a moment ago.

        Raises ``NotYet`` from the refusal otherwise, and what ``read`` raises.
        """
        now = self._clock()
        if self._error is None or now >= self._at + self._pause:
            return read()
        if now >= self._looked_at + LOOK_SECONDS:
            self._looked_at = now
            password = read()
            if _digest(password) != self._password:
                return password
        age = now - self._at
        down = now - self._since
        raise NotYet(age=age, retry_in=self._pause - age, down=down) from self._error

    def note(self, password: str, error: Exception) -> None:
        """``password`` was refused with ``error``."""
        digest, now = _digest(password), self._clock()
        if self._error is None or digest != self._password:
            self._pause, self._since = FIRST_PAUSE, now
        else:
            self._pause = min(LONGEST_PAUSE, 2 * self._pause)
        self._password, self._error = digest, error
        self._at = self._looked_at = now

    def forget(self) -> None:
        """Let the next login be tried at once, whatever its password."""
        self._error = None


def _digest(password: str) -> bytes:
    return hashlib.sha256(password.encode("utf-8", "surrogatepass")).digest()
