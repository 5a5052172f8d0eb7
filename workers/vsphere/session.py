"""Keeps an agent logged in: one session for all its threads, made anew when it is lost."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from workers.vsphere.connection import ConnectTimeout
from workers.vsphere.faults import Loss, NotYet, loss_of
from workers.vsphere.flight import SingleFlight
from workers.vsphere.login import Login
from workers.vsphere.vmomi import vim

T = TypeVar("T")

#: Seconds for which a failure is remembered and not tried again. A refused login counts
#: towards the lockout of the account; a connection that hangs holds up a worker's thread.
REFUSED_SECONDS = 60.0
HANGING_SECONDS = 5.0


class Session:
    """Runs work in a session that is opened when first needed.

    ``open_login`` logs in; it is called by one thread at a time, and the others wait for
    its outcome. ``clock`` returns seconds, monotonic.
    """

    def __init__(
        self, open_login: Callable[[], Login], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._open_login = open_login
        self._clock = clock
        self._opening: SingleFlight[Login] = SingleFlight()
        self._lock = threading.Lock()
        self._login: Login | None = None
        self._failure: Exception | None = None
        self._failed_until = 0.0

    def run(self, work: Callable[[Login], T]) -> T:
        """Return ``work(login)``, tried once more for each thing that it finds lost.

        A lost connection is replaced within the same session, a lost session by a new one.
        ``work`` may so run up to three times, and must only read. Raises what ``work`` or
        logging in raise, and ``NotYet`` at once where that hung or was refused seconds ago.
        """
        mendable = set(Loss)
        while True:
            login = self.login()
            try:
                return work(login)
            except Exception as error:
                self._remember(error)
                loss = loss_of(error)
                if loss not in mendable:
                    raise
                mendable.remove(loss)
            if loss is Loss.SESSION:
                self.forget(login)

    def login(self) -> Login:
        """Return the login, made if there is none."""
        with self._lock:
            self._raise_remembered()
            if self._login is not None:
                return self._login
        return self._opening.do(self._open)

    def forget(self, login: Login) -> None:
        """Give a login up, unless another thread has done so already."""
        with self._lock:
            current = self._login is login
            if current:
                self._login = None
        if current:
            login.close()

    def forgive(self) -> None:
        """Forget failures, so that the next try is made at once."""
        with self._lock:
            self._failure = None

    def close(self) -> None:
        """Log out if logged in; the next :meth:`login` opens a new session."""
        self._opening.settle()
        self.forgive()
        with self._lock:
            login, self._login = self._login, None
        if login is not None:
            login.close()

    def _open(self) -> Login:
        with self._lock:
            if self._login is not None:
                return self._login
        try:
            login = self._open_login()
        except Exception as error:
            self._remember(error)
            raise
        with self._lock:
            self._login = login
        return login

    def _remember(self, error: Exception) -> None:
        seconds = _seconds_to_remember(error)
        if seconds:
            with self._lock:
                self._failure, self._failed_until = error, self._clock() + seconds

    def _raise_remembered(self) -> None:
        left = self._failed_until - self._clock()
        if self._failure is not None and left > 0:
            raise NotYet(left) from self._failure


def _seconds_to_remember(error: Exception) -> float:
    if isinstance(error, vim.fault.InvalidLogin):
        return REFUSED_SECONDS
    return HANGING_SECONDS if isinstance(error, ConnectTimeout) else 0.0
