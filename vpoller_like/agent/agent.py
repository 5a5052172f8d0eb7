"""The base class of agents."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterable, Mapping, Sequence, Set, ValuesView
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Any, ClassVar, Self

from vpoller_like.agent.settings import refuse_all
from vpoller_like.agent.task import Task
from vpoller_like.errors import AgentError

_ADDRESSES = (IPv4Address, IPv6Address, IPv4Network, IPv6Network)


class Agent:
    """Serves methods: each one a method of the class decorated with ``@task``.

    One instance serves one configured host, in each process of a worker; the process's
    threads call it at once, so what its tasks share needs a lock.
    """

    #: The agent's name; also its section of the configuration, ``[agents.NAME]``.
    name: ClassVar[str] = ""

    #: The values of ``hostname`` that this instance serves; ``None`` is any.
    hostnames: list[str] | None = None

    _tasks: ClassVar[Mapping[str, Task[Any, Any]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _adopt_overrides(cls)
        cls._tasks = _collect(cls)

    @classmethod
    def from_config(cls, settings: Mapping[str, Any]) -> Iterable[Self]:
        """Yield one instance for each host in ``settings``, the agent's section.

        An agent without settings need not define this. Raises ``ConfigError``.
        """
        refuse_all(settings, f"agents.{cls.name}")
        yield cls()

    def setup(self) -> None:
        """Get ready to serve; called once in each process, before the first task."""

    def teardown(self) -> None:
        """Give back what was taken; called once in each process, after the last task."""

    def encode_value(self, value: Any) -> Any:
        """Return ``value``, a part of a result, as something that JSON knows.

        Asked only for what is not JSON's, a date, a UUID, a Decimal, an Enum, a set,
        bytes, a dataclass or a Struct. Override it for a library's own types and call
        this for the rest. Raises ``TypeError`` for what it does not know.
        """
        if isinstance(value, os.PathLike):
            return os.fspath(value)
        if isinstance(value, _ADDRESSES):
            return str(value)
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, Sequence | Set | ValuesView):
            return list(value)
        kind = type(value)
        raise TypeError(f"{kind.__module__}.{kind.__qualname__} is not JSON")


def tasks_of(agent: Agent | type[Agent]) -> Mapping[str, Task[Any, Any]]:
    """Return an agent's tasks by their names."""
    return agent._tasks


def _adopt_overrides(cls: type[Agent]) -> None:
    """Make a subclass's plain override of a task that same task."""
    for attribute, value in list(vars(cls).items()):
        inherited = _inherited(cls, attribute)
        if inherited is not None and inspect.isfunction(value):
            setattr(cls, attribute, inherited.overridden_by(value))


def _inherited(cls: type, attribute: str) -> Task[Any, Any] | None:
    holders = (base for base in cls.__mro__[1:] if attribute in vars(base))
    value = next((vars(base)[attribute] for base in holders), None)
    return value if isinstance(value, Task) else None


def _collect(cls: type) -> dict[str, Task[Any, Any]]:
    # Bases first, so that what overrides a task, be it None, comes last.
    attributes: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        attributes.update(vars(base))
    tasks: dict[str, Task[Any, Any]] = {}
    for value in attributes.values():
        if isinstance(value, Task):
            _add(tasks, value, cls)
    return tasks


def _add(tasks: dict[str, Task[Any, Any]], task: Task[Any, Any], cls: type) -> None:
    other = tasks.setdefault(task.name, task)
    if other is not task:
        raise AgentError(
            f"{cls.__qualname__} has two tasks named {task.name}: "
            f"{other.function.__qualname__} and {task.function.__qualname__}; rename one"
        )
