"""Keeps an agent logged in: one session for all its threads, made anew when it is lost."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from workers.vsphere.faults import Closed, Loss, loss_of
from workers.vsphere.session.flight import SingleFlight
from workers.vsphere.session.login import Login

T = TypeVar("T")

#: Seconds that closing waits for a login that is under way, to log it out.
SETTLE_SECONDS = 2.0


class Session:
    """Runs work in a session that is opened when first needed.

    ``open_login`` logs in; it is called by one thread at a time, and the others wait for
    its outcome. Nothing is done to keep a session alive: one that the vCenter ends because
    it was idle is opened again by the next work.
    """

    def __init__(self, open_login: Callable[[], Login]) -> None:
        self._open_login = open_login
        self._opening: SingleFlight[Login] = SingleFlight()
        self._lock = threading.Lock()
        self._login: Login | None = None
        #: How often it was closed.
        self._closings = 0

    def run(self, work: Callable[[Login], T]) -> T:
        """Return ``work(login)``, tried once more for each thing that it finds lost.

        A lost connection is replaced within the same session, a lost session by a new one;
        so is either while logging in. ``work`` may so run up to three times, and must only
        read. Raises what ``work`` or logging in raise, and ``Closed`` where it would have to
        log in again after :meth:`close`.
        """
        mendable, closings = set(Loss), self._closings
        while True:
            login = None
            try:
                login = self._login_unless_closed(closings)
                return work(login)
            except Exception as error:
                loss = loss_of(error)
                if loss not in mendable:
                    raise
                mendable.remove(loss)
            if loss is Loss.SESSION and login is not None:
                self.forget(login)

    def login(self) -> Login:
        """Return the login, made if there is none."""
        return self._login_unless_closed(self._closings)

    def forget(self, login: Login) -> None:
        """Give a login up, unless another thread has done so already."""
        with self._lock:
            current = self._login is login
            if current:
                self._login = None
        if current:
            login.close()

    def close(self) -> None:
        """Log out if logged in; what comes after it opens a new session.

        A login that is under way is logged out when it is done, and waited for a while.
        """
        with self._lock:
            self._closings += 1
            login, self._login = self._login, None
        if login is not None:
            login.close()
        self._opening.settle(SETTLE_SECONDS)

    def _login_unless_closed(self, closings: int) -> Login:
        while True:
            with self._lock:
                if closings != self._closings:
                    raise Closed
                if self._login is not None:
                    return self._login
            try:
                return self._opening.do(lambda: self._open(closings))
            except Closed:
                # It was another thread's login, begun before the closing. Look again.
                continue

    def _open(self, closings: int) -> Login:
        with self._lock:
            if self._login is not None:
                return self._login
        login = self._open_login()
        with self._lock:
            if closings == self._closings:
                self._login = login
                return login
        login.close()
        raise Closed
