"""Work that several threads want at once, done by one of them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Runs one call at a time; who comes meanwhile gets its outcome, be it an error.

    So threads that wait for a server that hangs are freed together, not one after the
    other.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._flight: Future[T] | None = None
        self._whose: object = None

    def do(self, work: Callable[[], T], whose: object = None) -> T:
        """Return what ``work`` returns, or the work that is under way for the same ``whose``.

        Work for another is waited for, and its outcome is not ours.
        """
        while True:
            with self._lock:
                flight, mine = self._flight, self._flight is None
                if flight is None:
                    flight = self._flight = Future()
                    self._whose = whose
                is_ours = self._whose is whose
            if mine:
                self._fly(flight, work)
            if is_ours:
                return flight.result()
            flight.exception()

    def settle(self, patience: float | None = None) -> None:
        """Wait until nothing is under way, for ``patience`` seconds at most."""
        with self._lock:
            flight = self._flight
        if flight is not None:
            with contextlib.suppress(TimeoutError):
                flight.exception(patience)

    def _fly(self, flight: Future[T], work: Callable[[], T]) -> None:
        try:
            result = work()
        except BaseException as error:
            self._land()
            flight.set_exception(error)
        else:
            self._land()
            flight.set_result(result)

    def _land(self) -> None:
        with self._lock:
            self._flight = None
