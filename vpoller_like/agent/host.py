"""Agents in this process: finding the one that a request is for, and asking it."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from vpoller_like.agent.agent import Agent, tasks_of
from vpoller_like.agent.bound import BoundTask, on_the_wire
from vpoller_like.agent.desk import Desk
from vpoller_like.agent.outcome import refused
from vpoller_like.agent.routes import AnyTask, Route
from vpoller_like.agent.vault import VAULT
from vpoller_like.errors import AgentError, BadRequest, UnknownMethod, VPollerError
from vpoller_like.protocol.encoding import JSON, decode_object, field_fault
from vpoller_like.protocol.limits import MAX_HOSTNAME, MAX_LABEL
from vpoller_like.protocol.request import RESERVED, Head
from vpoller_like.protocol.worker import Method, Offer

log = logging.getLogger("vpoller.agent")

_declared: WeakKeyDictionary[type[Agent], list[Method]] = WeakKeyDictionary()


class AgentHost(Desk):
    """Runs requests on the agents given to it; any number of threads may call at once.

    Raises ``AgentError`` where two instances serve the same method for the same host, or
    an agent is declared in a way that no broker would take.
    """

    def __init__(self, agents: Iterable[Agent]) -> None:
        super().__init__()
        self.agents: list[Agent] = []
        self.renew(agents)

    def renew(self, agents: Iterable[Agent], leaving: Iterable[Agent] = ()) -> None:
        """Serve ``agents`` from now on, and no others; what runs goes on.

        Those ``leaving`` still serve what is asked by a hostname that none of ``agents``
        has. Nobody is set up or torn down. Raises as the class does, and changes nothing
        then.
        """
        serving = list(agents)
        routes: dict[str, Route] = {}
        for agent in serving:
            _check(agent)
            for route, bound in _bound(agent, routes):
                route.add(bound)
        for agent in leaving:
            for route, bound in _bound(agent, routes):
                route.keep(bound)
        self.agents, self._routes = serving, routes

    def offers(self) -> list[Offer]:
        """Return what is served here: an offer for each agent, with all its hosts."""
        return offers_of(self.agents)

    def setup(self) -> None:
        """Set every agent up. If one fails, tear down the others and raise ``AgentError``."""
        for index, agent in enumerate(self.agents):
            try:
                set_up(agent)
            except AgentError:
                tear_down(self.agents[:index])
                raise

    def teardown(self) -> None:
        """Tear every agent down, the last first. What they raise is logged."""
        tear_down(self.agents)

    def call(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Run the request ``fields`` and return the reply's envelope.

        Both go through JSON, as they would on their way to a worker and back.
        """
        try:
            fields = on_the_wire(fields)
            bound = self._take_head(fields)
        except VPollerError as error:
            return decode_object(refused(error, JSON).body)
        return decode_object(bound.run(fields).body)

    def _take_any_head(self, fields: dict[str, Any]) -> AnyTask:
        head = _head(fields)
        route = self._routes.get(head.method)
        if route is None:
            raise self._unknown(head.method)
        for key in RESERVED:
            fields.pop(key, None)
        return route.pick(head.hostname)

    def _unknown(self, method: str) -> UnknownMethod:
        close = get_close_matches(method, self._routes, 1)
        hint = f"; did you mean {close[0]}?" if close else ""
        return UnknownMethod(f"no agent here serves {method}{hint}", method=method)


def _head(fields: dict[str, Any]) -> Head:
    try:
        return msgspec.convert(fields, Head)
    except msgspec.ValidationError as error:
        raise BadRequest(field_fault(error)) from None


def offers_of(agents: Iterable[Agent]) -> list[Offer]:
    """Return what ``agents`` serve: an offer for each class, with all its hosts."""
    offers: dict[tuple[type[Agent], bool], Offer] = {}
    for agent in agents:
        key = (type(agent), agent.hostnames is None)
        if key in offers:
            (offers[key].hosts or []).extend(agent.hostnames or [])
        else:
            offers[key] = _offer(agent)
    return list(offers.values())


def _offer(agent: Agent) -> Offer:
    hosts = None if agent.hostnames is None else list(agent.hostnames)
    return Offer(agent=agent.name, methods=list(_methods(type(agent))), hosts=hosts)


def _methods(kind: type[Agent]) -> list[Method]:
    """Return the declarations of an agent's tasks, made once for all its instances."""
    found = _declared.get(kind)
    if found is None:
        found = _declared[kind] = [task.method() for task in tasks_of(kind).values()]
    return found


def _bound(agent: Agent, routes: dict[str, Route]) -> Iterator[tuple[Route, AnyTask]]:
    """Yield each task of ``agent`` with its route, which is made if there is none."""
    # Resolves the parameters' types now rather than at the first request.
    _methods(type(agent))
    for task in tasks_of(agent).values():
        yield routes.setdefault(task.name, Route(task.name)), BoundTask(task, agent)


def set_up(agent: Agent) -> None:
    """Set ``agent`` up; raise ``AgentError`` for whatever it raises."""
    try:
        agent.setup()
    except Exception as error:
        text = VAULT.hide(f"{type(error).__name__}: {error}")
        raise AgentError(f"agent {agent.name}: setup failed: {text}") from error


def tear_down(agents: Sequence[Agent]) -> None:
    """Tear ``agents`` down, the last first. What they raise is logged."""
    for agent in reversed(agents):
        try:
            agent.teardown()
        except Exception:
            log.exception("agent %s: teardown failed", agent.name)


def _check(agent: Agent) -> None:
    kind = type(agent).__qualname__
    if not isinstance(agent.name, str) or not 0 < len(agent.name) <= MAX_LABEL:
        raise AgentError(f'{kind} has no name; give it one: name = "..."')
    if not tasks_of(agent):
        raise AgentError(f"agent {agent.name}: {kind} has no tasks; decorate a method with @task")
    for hostname in agent.hostnames or ():
        if not isinstance(hostname, str) or not 0 < len(hostname) <= MAX_HOSTNAME:
            raise AgentError(
                f"agent {agent.name}: hostname {hostname!r} is not a string of 1 to "
                f"{MAX_HOSTNAME} characters"
            )
