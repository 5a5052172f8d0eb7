"""Which instance serves a method for a hostname."""

from __future__ import annotations

from typing import Any

from vpoller_like.agent.bound import BoundTask
from vpoller_like.errors import AgentError, InvalidParams, UnknownHost
from vpoller_like.protocol.request import UNSET

AnyTask = BoundTask[Any, Any]

#: Hostnames that an error lists.
_LISTED = 10


class Route:
    """The instances that serve one method, by hostname."""

    def __init__(self, method: str) -> None:
        self.method = method
        self._by_host: dict[str, AnyTask] = {}
        #: Serves any hostname that has no instance of its own.
        self._any: AnyTask | None = None
        self._instances: list[AnyTask] = []
        self._leaving: list[AnyTask] = []
        #: Serves what names no hostname; ``None`` where several could be meant.
        self.usual: AnyTask | None = None

    def add(self, bound: AnyTask) -> None:
        """Let ``bound`` serve its agent's hostnames; raise ``AgentError`` if one is taken."""
        self._instances.append(bound)
        hostnames = bound.agent.hostnames
        if hostnames is None:
            self._refuse_second(self._any, bound, "any hostname")
            self._any = bound
        for hostname in hostnames or ():
            self._refuse_second(self._by_host.get(hostname), bound, f"hostname {hostname}")
            self._by_host[hostname] = bound
        self.usual = self._any or _only(self._instances)

    def keep(self, bound: AnyTask) -> None:
        """Let ``bound``, which is about to leave, serve what nobody else does.

        It is not among those that a request without a hostname could mean.
        """
        self._leaving.append(bound)
        hostnames = bound.agent.hostnames
        if hostnames is None:
            self._any = self._any or bound
        for hostname in hostnames or ():
            self._by_host.setdefault(hostname, bound)
        self.usual = self._any or _only(self._instances or self._leaving)

    def pick(self, hostname: str | None) -> AnyTask:
        """Return who serves ``hostname``; empty and ``None`` name nobody in particular.

        Nor does what a program in C writes for one, unless there is a host of that name.
        Raises ``UnknownHost``, or ``InvalidParams`` where several could be meant.
        """
        if hostname:
            found = self._by_host.get(hostname, self._any)
            if found is not None:
                return found
            if hostname not in UNSET:
                raise self._unknown(hostname)
        if self.usual is not None:
            return self.usual
        raise InvalidParams(
            f"hostname: missing; {self.method} is served for {self._hosts()}; name one",
            field="hostname",
            known=self._known(),
        )

    def _refuse_second(self, first: AnyTask | None, second: AnyTask, what: str) -> None:
        if first is not None:
            raise AgentError(
                f"{self.method} is served twice for {what}, by the agents "
                f"{first.agent.name} and {second.agent.name}; load or configure only one"
            )

    def _unknown(self, hostname: str) -> UnknownHost:
        message = f"{self.method} is not served for {hostname}, only for {self._hosts()}"
        return UnknownHost(message, hostname=hostname, known=self._known())

    def _known(self) -> list[str]:
        return sorted(self._by_host)[:_LISTED]

    def _hosts(self) -> str:
        more = len(self._by_host) - _LISTED
        return ", ".join(self._known()) + (f" and {more} more" if more > 0 else "")


def _only(tasks: list[AnyTask]) -> AnyTask | None:
    return tasks[0] if len(tasks) == 1 else None
