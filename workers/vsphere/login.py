"""One login at one vCenter, and what lives as long as it does."""

from __future__ import annotations

import contextlib
import logging
import threading
from typing import Any

import msgspec

from workers.vsphere.connection import Target, make_stub, set_target, use_newest_version
from workers.vsphere.vmomi import vim

_log = logging.getLogger("vpoller.agent.vsphere")

#: Seconds that a logout may take: it is a courtesy, nobody waits for its answer.
_LOGOUT_TIMEOUT = 3.0


class Login:
    """A session at a vCenter: its stub, the services' content, and its views.

    Threads may share it.
    """

    def __init__(self, stub: Any, content: Any, target: Target) -> None:
        self.content = content
        self._stub = stub
        self._target = target
        self._views: dict[Any, Any] = {}
        self._lock = threading.Lock()

    def view(self, kind: Any) -> Any:
        """Return the view of all objects of a type; the first call for a type makes it.

        The vCenter keeps a view up to date until the session ends, so that listing what
        is in it takes one call however the inventory is laid out.
        """
        with self._lock:
            if kind not in self._views:
                self._views[kind] = self.content.viewManager.CreateContainerView(
                    container=self.content.rootFolder, type=[kind], recursive=True
                )
            return self._views[kind]

    def close(self) -> None:
        """Log out and close the connections; a vCenter that does not answer is no error."""
        self._stub.DropConnections()
        set_target(self._stub, _in_haste(self._target))
        with contextlib.suppress(Exception):
            self.content.sessionManager.Logout()
            _log.debug("logged out of %s", self._target)
        self._stub.DropConnections()


def log_in(target: Target, user: str, password: str) -> Login:
    """Log in at ``target``.

    Raises what goes wrong as it is: pyVmomi's faults, ``OSError``, ``HTTPException``,
    ``ExpatError`` and ``ThumbprintMismatch``.
    """
    stub = make_stub(target)
    try:
        use_newest_version(stub)
        content = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
        content.sessionManager.Login(user, password, None)
    except BaseException:
        stub.DropConnections()
        raise
    _log.info("logged in at %s as %s", target, user)
    return Login(stub, content, target)


def _in_haste(target: Target) -> Target:
    return msgspec.structs.replace(
        target,
        connect_timeout=min(target.connect_timeout, _LOGOUT_TIMEOUT),
        timeout=min(target.timeout, _LOGOUT_TIMEOUT),
    )
