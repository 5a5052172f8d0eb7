"""One vCenter, or ESXi host, as the agent's methods see it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from workers.vsphere.faults import explain
from workers.vsphere.hosts.password import Password
from workers.vsphere.inventory.collector import Relation, Row, collect
from workers.vsphere.inventory.inventory import Inventory, refuse_denied, unique
from workers.vsphere.inventory.kinds import Kind
from workers.vsphere.params import Named
from workers.vsphere.session.account import Account
from workers.vsphere.session.breaker import Breaker
from workers.vsphere.session.connection import Target
from workers.vsphere.session.guard import Guard
from workers.vsphere.session.login import Login, knock
from workers.vsphere.session.session import Session
from workers.vsphere.session.slots import Slots

T = TypeVar("T")
Rows = list[dict[str, Any]]


class VCenter:
    """A session, which all threads share, and what is known of the inventory.

    Nothing is sent before it is needed. What goes wrong is raised as ``TaskFailed`` or
    ``InvalidParams``, in one sentence that says what to do. At most ``max_calls`` calls are
    under way at once, and none while the vCenter is taken for dead.
    """

    def __init__(
        self,
        target: Target,
        user: str,
        password: Password,
        max_names: int = 100_000,
        max_calls: int = 8,
    ) -> None:
        self.target = target
        self.user = user
        self.inventory = Inventory(max_names)
        self._account = Account(target, user, password)
        self._session = Session(self._account.log_in)
        self._guard = Guard(
            Breaker(str(target)), Slots(max_calls, target.timeout), lambda: knock(target)
        )

    def connect(self) -> None:
        """Log in now, whatever went wrong a moment ago; does nothing when logged in."""
        self._account.forgive()
        self._guard.forgive()
        self._explained(lambda: self._guard.run(self._session.login))

    def close(self) -> None:
        """Log out. What comes next logs in again."""
        self.inventory.close()
        self._session.close()

    def run(self, work: Callable[[Login], T]) -> T:
        """Return ``work(login)``, tried again where the session or a connection was lost.

        So ``work`` may run up to three times, and must only read. It must not call this
        method again: it has one of ``max_calls`` slots, and would wait for another.
        """
        return self._explained(lambda: self._guard.run(lambda: self._session.run(work)))

    def discover(self, kind: Kind, paths: Sequence[str]) -> Rows:
        """Return the properties ``paths`` of every object of ``kind``."""
        asked = unique(paths)
        return self.run(lambda login: self.inventory.discover(login, kind, asked))

    def named(
        self,
        login: Login,
        kind: Kind,
        asked: Named,
        paths: Sequence[str],
        relation: Relation | None = None,
    ) -> list[Row]:
        """Return what a request names, within :meth:`run`: one row, or those of its ``names``."""
        wanted = asked.wanted
        if asked.is_bulk:
            return self.inventory.find_many(login, kind, wanted, paths, relation)
        return [self.inventory.find(login, kind, wanted[0], paths, relation)]

    def read(self, managed: Any, path: str) -> Any:
        """Return one property of an object that every vCenter has."""

        def work(login: Login) -> Row:
            return collect(login, type(managed), [path], [managed])[0]

        row = self.run(work)
        refuse_denied(type(managed)._wsdlName, row.denied)
        return row.properties[path]

    def _explained(self, call: Callable[[], T]) -> T:
        try:
            return call()
        except Exception as error:
            told = explain(error, self.target, self.user)
            if told is None or told is error:
                raise
            raise told from error
