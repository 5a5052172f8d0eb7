"""Keeps a name index as the inventory is: one thread that waits for the vCenter's updates."""

from __future__ import annotations

import contextlib
import logging
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

from workers.vsphere.inventory.index import NameIndex
from workers.vsphere.inventory.kinds import KINDS, Kind
from workers.vsphere.session.connection import PinnedConnection
from workers.vsphere.session.login import Login
from workers.vsphere.vmomi import vmodl

_log = logging.getLogger("vpoller.agent.vsphere")
_pc = vmodl.query.PropertyCollector

#: Seconds after which a vCenter without news says so; firewalls drop what is silent longer.
WAIT_SECONDS = 30
#: Seconds that ending the thread may take; it is woken, and has nothing to finish.
_STOP_SECONDS = 2.0

THREAD_NAME = "vsphere-names"


class Watch:
    """Follows the names of one vCenter's objects for as long as a login lasts.

    It never logs in: when the session or the connection is lost it ends, and ``alive`` is
    false. Its waiting calls have connections of their own, of which no other call sees
    anything.
    """

    def __init__(self, login: Login, limit: int) -> None:
        self.login = login
        self.index = NameIndex(limit)
        self._collector: Any = None
        self._view: Any = None
        self._stopped = threading.Event()
        self._connection: PinnedConnection | None = None
        self._thread = threading.Thread(target=self._follow, name=THREAD_NAME, daemon=True)
        self._version = ""

    @property
    def alive(self) -> bool:
        """Whether the index is kept up to date."""
        return self._thread.is_alive() and not self._stopped.is_set()

    def start(self) -> None:
        """Load the names, with the calls of the login's own connection, and follow them.

        Raises what goes wrong as it is, and ``IndexFull``; then nothing is left at the vCenter.
        """
        content = self.login.content
        try:
            self._collector = content.propertyCollector.CreatePropertyCollector()
            self._view = content.viewManager.CreateContainerView(
                container=content.rootFolder, type=[kind.type for kind in KINDS], recursive=True
            )
            self._collector.CreateFilter(spec=_filter(self._view), partialUpdates=False)
            self._load()
        except BaseException:
            self.discard()
            raise
        self._thread.start()

    def stop(self) -> None:
        """End the thread, whatever the vCenter does."""
        self._stopped.set()
        for _ in range(int(_STOP_SECONDS / 0.05)):
            if not self._thread.is_alive():
                return
            # Again and again: it may just be about to connect.
            self._hang_up()
            self._thread.join(0.05)

    def discard(self) -> None:
        """Leave nothing at the vCenter while its session goes on; a failure is no error."""
        for end in (
            self._collector and self._collector.DestroyPropertyCollector,
            self._view and self._view.DestroyView,
        ):
            with contextlib.suppress(Exception):
                if end:
                    end()

    def _load(self) -> None:
        while True:
            update = self._wait(self._collector, seconds=0)
            if update is None or not update.truncated:
                return

    def _follow(self) -> None:
        stub = self.login.companion(WAIT_SECONDS, self._opened)
        collector = type(self._collector)(self._collector._moId, stub)
        try:
            while not self._stopped.is_set():
                self._wait(collector, WAIT_SECONDS)
        except Exception as error:
            if not self._stopped.is_set():
                _log.info(
                    "the names of %s are followed no longer, until the next look-up: %s",
                    self.login,
                    str(error) or type(error).__name__,
                )
        finally:
            stub.DropConnections()
            self._close_connection()

    def _wait(self, collector: Any, seconds: int) -> Any:
        options = _pc.WaitOptions(maxWaitSeconds=seconds)
        update = collector.WaitForUpdatesEx(version=self._version, options=options)
        if update is not None:
            self._version = update.version
            for change in _changes(update):
                _take_in(self.index, change)
        return update

    def _opened(self, connection: PinnedConnection) -> None:
        self._close_connection()
        self._connection = connection

    def _close_connection(self) -> None:
        """Close the connection, which pyVmomi forgets after some errors."""
        if self._connection is not None:
            self._connection.close()

    def _hang_up(self) -> None:
        sock = self._connection.sock if self._connection else None
        # Within the handshake it is a plain one, which Python would lose.
        if isinstance(sock, ssl.SSLSocket):
            # TLS has a shutdown of its own, which would pull its state from under the thread.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)


def _filter(view: Any) -> Any:
    contents = _pc.TraversalSpec(path="view", skip=False, type=type(view))
    return _pc.FilterSpec(
        propSet=[_naming(kind) for kind in KINDS],
        objectSet=[_pc.ObjectSpec(obj=view, skip=True, selectSet=[contents])],
        reportMissingObjectsInResults=True,
    )


def _naming(kind: Kind) -> Any:
    return _pc.PropertySpec(type=kind.type, pathSet=[*kind.keys, *kind.uuids], all=False)


def _changes(update: Any) -> Iterator[Any]:
    for part in update.filterSet:
        yield from part.objectSet


def _take_in(index: NameIndex, change: Any) -> None:
    if change.kind == "leave":
        index.drop(change.obj)
        return
    values = {str(each.name): _text(each) for each in change.changeSet}
    index.put(change.obj, values)


def _text(change: Any) -> str | None:
    gone = change.op in ("remove", "indirectRemove") or change.val is None
    return None if gone else str(change.val)
