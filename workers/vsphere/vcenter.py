"""One vCenter, or ESXi host, as the agent's methods see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from workers.vsphere.collector import Row, collect
from workers.vsphere.connection import Target
from workers.vsphere.faults import explain
from workers.vsphere.inventory import Inventory, refuse_denied, unique
from workers.vsphere.kinds import Kind
from workers.vsphere.login import Login, log_in
from workers.vsphere.password import Password
from workers.vsphere.session import Session

T = TypeVar("T")
Rows = list[dict[str, Any]]


class VCenter:
    """A session, which all threads share, and what is known of the inventory.

    Nothing is sent before it is needed. What goes wrong is raised as ``TaskFailed`` or
    ``InvalidParams``, in one sentence that says what to do.
    """

    def __init__(self, target: Target, user: str, password: Password, name_age: float) -> None:
        self.target = target
        self.user = user
        self.inventory = Inventory(name_age)
        self._password = password
        self._session = Session(self._log_in)

    def connect(self) -> None:
        """Log in now, whatever went wrong a moment ago; does nothing when logged in."""
        self._session.forgive()
        self._explained(self._session.login)

    def close(self) -> None:
        """Log out. What comes next logs in again."""
        self._session.close()

    def run(self, work: Callable[[Login], T]) -> T:
        """Return ``work(login)``, tried again where the session or a connection was lost.

        So ``work`` may run up to three times, and must only read.
        """
        return self._explained(lambda: self._session.run(work))

    def discover(self, kind: Kind, paths: Sequence[str]) -> Rows:
        """Return the properties ``paths`` of every object of ``kind``."""
        asked = unique(paths)
        return self.run(lambda login: self.inventory.discover(login, kind, asked))

    def get(self, kind: Kind, name: str, paths: Sequence[str]) -> dict[str, Any]:
        """Return the properties ``paths`` of the object ``name``."""
        asked = unique(paths)
        return self.run(lambda login: self.inventory.get(login, kind, name, asked))

    def read(self, managed: Any, path: str) -> Any:
        """Return one property of an object that every vCenter has."""

        def work(login: Login) -> Row:
            return collect(login, type(managed), [path], [managed])[0]

        row = self.run(work)
        refuse_denied(type(managed)._wsdlName, row.denied)
        return row.properties[path]

    def _log_in(self) -> Login:
        return log_in(self.target, self.user, self._password())

    def _explained(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except Exception as error:
            told = explain(error, self.target, self.user)
            if told is None or told is error:
                raise
            raise told from error
