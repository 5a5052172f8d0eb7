"""Work that several threads want at once, done by one of them."""

from __future__ import annotations

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

    def do(self, work: Callable[[], T]) -> T:
        """Return what ``work`` returns, or the work that is under way."""
        with self._lock:
            flight, mine = self._flight, self._flight is None
            if flight is None:
                flight = self._flight = Future()
        if mine:
            self._fly(flight, work)
        return flight.result()

    def settle(self) -> None:
        """Wait until nothing is under way."""
        with self._lock:
            flight = self._flight
        if flight is not None:
            flight.exception()

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
