"""Where names are looked up: in an index that follows the vCenter, or by asking it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from workers.vsphere.faults import loss_of
from workers.vsphere.inventory.collector import collect_all
from workers.vsphere.inventory.index import IndexFull, NameIndex
from workers.vsphere.inventory.kinds import Kind
from workers.vsphere.inventory.watch import Watch
from workers.vsphere.session.flight import SingleFlight
from workers.vsphere.session.login import Login
from workers.vsphere.vmomi import vmodl

_log = logging.getLogger("vpoller.agent.vsphere")

#: Seconds that closing waits for a watch that is just being started.
_SETTLE_SECONDS = 2.0

#: Objects that one answer of the vCenter may name; it is held for one look-up.
_NO_LIMIT = 2**31


class Names:
    """The names at one vCenter, of ``limit`` objects at most; 0 keeps none.

    ``clock`` returns seconds, monotonic. Threads may share it.
    """

    def __init__(self, limit: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._opening: SingleFlight[Watch | None] = SingleFlight()
        self._asking: dict[Kind, SingleFlight[tuple[float, NameIndex]]] = {}
        self._watch: Watch | None = None
        #: How often it was closed.
        self._closings = 0
        #: In whose session the vCenter has too many names, or lets nobody follow them.
        self._off: Login | None = None

    def known(self, login: Login) -> NameIndex | None:
        """Return the index that follows the vCenter; ``None`` where there are too many names.

        The first call of a session loads it, and so does the first one after the connection
        was lost. Raises what goes wrong as it is.
        """
        if self._limit == 0 or self._off is login:
            return None
        watch = self._following(login) or self._opening.do(lambda: self._open(login), login)
        return watch.index if watch else None

    def asked(self, login: Login, kind: Kind) -> NameIndex:
        """Return the names of all objects of ``kind``, as they are now; takes one call.

        Threads that ask at once share an answer, unless it was under way before they asked.
        """
        started = self._clock()
        flights = self._asking.setdefault(kind, SingleFlight())
        while True:
            begun, names = flights.do(lambda: (self._clock(), _read(login, kind)), login)
            if begun >= started:
                return names

    def close(self) -> None:
        """Stop following the vCenter."""
        self._closings += 1
        self._opening.settle(_SETTLE_SECONDS)
        watch, self._watch = self._watch, None
        self._off = None
        if watch is not None:
            watch.stop()

    def _following(self, login: Login) -> Watch | None:
        watch = self._watch
        return watch if watch and watch.login is login and watch.alive else None

    def _open(self, login: Login) -> Watch | None:
        watch = self._following(login)
        if watch is not None:
            return watch
        self._end_old(login)
        closings = self._closings
        watch = Watch(login, self._limit)
        try:
            watch.start()
        except (IndexFull, vmodl.MethodFault) as error:
            if loss_of(error) is not None:
                raise
            self._off = login
            _log.warning("names at %s are not kept, each look-up asks for them: %s", login, error)
            return None
        self._watch = watch
        if closings != self._closings:
            # Closing did not wait for it; what it has loaded still serves who asked.
            watch.stop()
        return watch

    def _end_old(self, login: Login) -> None:
        old, self._watch = self._watch, None
        if old is not None:
            old.stop()
            # With another session the vCenter has forgotten it.
            if old.login is login:
                old.discard()


def _read(login: Login, kind: Kind) -> NameIndex:
    names = NameIndex(_NO_LIMIT)
    for row in collect_all(login, kind.type, [*kind.keys, *kind.uuids]):
        names.put(row.managed, row.properties)
    return names
