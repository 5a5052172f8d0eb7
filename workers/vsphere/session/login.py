"""One login at one vCenter, and what lives as long as it does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from http.client import HTTPException
from typing import Any

import msgspec

from workers.vsphere.session.connection import (
    ConnectTimeout,
    PinnedConnection,
    Target,
    make_stub,
    retire,
    set_target,
    use_newest_version,
)
from workers.vsphere.session.flight import SingleFlight
from workers.vsphere.vmomi import vim, vmodl

_log = logging.getLogger("vpoller.agent.vsphere")

#: Seconds that connecting for a logout, and the logout itself, may take: it is a courtesy,
#: nobody waits for its answer.
_LOGOUT_TIMEOUT = 2.0


class Login:
    """A session at a vCenter: its stub, the services' content, and its views.

    Threads may share it. ``agent`` is the name that the vCenter knows this client by, and
    ``key`` the session's own.
    """

    def __init__(self, stub: Any, content: Any, target: Target, agent: str, key: str) -> None:
        self.content = content
        #: Whether the vCenter has said that the session is over.
        self.is_logged_out = False
        #: Whether it may have other sessions of this client, which nobody uses.
        self.has_strays = False
        self._stub = stub
        self._target = target
        self._agent = agent
        self._key = key
        self._made: dict[Any, Any] = {}
        self._making: dict[Any, SingleFlight[Any]] = {}

    def __str__(self) -> str:
        return str(self._target)

    def view(self, kind: Any) -> Any:
        """Return the view of all objects of a type; the first call for a type makes it.

        The vCenter keeps a view up to date until the session ends, so that listing what
        is in it takes one call however the inventory is laid out.
        """
        return self._once(
            kind,
            lambda: self.content.viewManager.CreateContainerView(
                container=self.content.rootFolder, type=[kind], recursive=True
            ),
        )

    @property
    def processes(self) -> Any:
        """The manager of processes in guests; the first use asks the vCenter for it."""
        return self._once("processes", lambda: self.content.guestOperationsManager.processManager)

    def companion(self, patience: float, opened: Callable[[PinnedConnection], None]) -> Any:
        """Return another stub for this session, with connections of its own, of each of which
        ``opened`` is told. For calls that may take ``patience`` seconds more than others.
        """
        target = msgspec.structs.replace(self._target, timeout=self._target.timeout + patience)
        stub = make_stub(target, self._agent)
        stub.ComputeVersionInfo(self._stub.version)
        stub.cookie = self._stub.cookie
        connect = stub.scheme

        def connecting(*_: Any, **__: Any) -> PinnedConnection:
            connection: PinnedConnection = connect()
            opened(connection)
            return connection

        stub.scheme = connecting
        return stub

    def end_strays(self) -> bool:
        """End this client's other sessions, as far as the user may; say whether that was
        answered. Never raises.
        """
        try:
            self._end_strays()
        except vmodl.MethodFault as fault:
            _log.debug("sessions left at %s stay: %s", self._target, fault.msg)
        except Exception:
            return False
        return True

    def close(self) -> None:
        """Log out and close the connections; a vCenter that does not answer is no error."""
        self._stub.DropConnections()
        set_target(self._stub, _in_haste(self._target))
        if not self.has_strays or self.end_strays():
            self.is_logged_out = _log_out(self._stub, self.content, self._target)
        retire(self._stub)

    def _once(self, what: Any, make: Callable[[], Any]) -> Any:
        """Return what ``make`` asks the vCenter for, and keep it; no lock is held meanwhile."""
        if what not in self._made:
            flight = self._making.setdefault(what, SingleFlight())
            flight.do(lambda: self._made.get(what) or self._made.setdefault(what, make()))
        return self._made[what]

    def _end_strays(self) -> None:
        manager = self.content.sessionManager
        strays = [
            each.key
            for each in manager.sessionList
            if each.userAgent == self._agent and each.key != self._key
        ]
        if strays:
            manager.TerminateSession(sessionId=strays)
            _log.info("ended %d sessions left at %s", len(strays), self._target)


def log_in(target: Target, user: str, password: str, agent: str) -> Login:
    """Log in at ``target`` as a client of the name ``agent``.

    Raises what goes wrong as it is: pyVmomi's faults, ``OSError``, ``HTTPException``,
    ``ExpatError`` and ``ThumbprintMismatch``.
    """
    stub = make_stub(target, agent)
    try:
        use_newest_version(stub)
        content = _content(stub)
    except BaseException:
        stub.DropConnections()
        raise
    try:
        session = content.sessionManager.Login(user, password, None)
    except vmodl.MethodFault:
        stub.DropConnections()
        raise
    except BaseException:
        # The vCenter may have opened it all the same.
        set_target(stub, _in_haste(target))
        _log_out(stub, content, target)
        raise
    _log.info("logged in at %s as %s", target, user)
    return Login(stub, content, target, agent, session.key)


def knock(target: Target) -> None:
    """Ask ``target`` for the little that it tells anybody, in the time of a connection.

    Raises what goes wrong as it is; silence is ``ConnectTimeout``.
    """
    seconds = min(target.connect_timeout, target.timeout)
    stub = make_stub(_within(target, seconds))
    try:
        _content(stub)
    except TimeoutError as error:
        raise ConnectTimeout(str(error), seconds) from error
    finally:
        stub.DropConnections()


def _log_out(stub: Any, content: Any, target: Target) -> bool:
    """Say whether the vCenter has said that the session is over; never raises."""
    try:
        content.sessionManager.Logout()
        _log.debug("logged out of %s", target)
    except vmodl.MethodFault:
        return True
    except Exception:
        return False
    finally:
        stub.DropConnections()
    return True


def _content(stub: Any) -> Any:
    content = vim.ServiceInstance("ServiceInstance", stub).RetrieveContent()
    if content is None:
        raise HTTPException("it has no services")
    return content


def _in_haste(target: Target) -> Target:
    return _within(target, _LOGOUT_TIMEOUT)


def _within(target: Target, seconds: float) -> Target:
    """Return ``target`` with so many seconds at most for connecting, and for a whole answer."""
    return msgspec.structs.replace(
        target,
        connect_timeout=min(target.connect_timeout, seconds),
        timeout=min(target.timeout, seconds),
        stretch=1.0,
    )
