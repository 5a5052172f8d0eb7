"""The base class of agents."""

from __future__ import annotations

import inspect
import os
from collections.abc import Hashable, Iterable, Mapping, Sequence, Set, ValuesView
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

    #: What else makes this instance another one than a later one for the same hostnames: where
    #: the host's settings change, its variant is to change, too. Of no secret, but its digest.
    variant: Hashable = None

    _tasks: ClassVar[Mapping[str, Task[Any, Any]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _adopt_overrides(cls)
        cls._tasks = _collect(cls)

    @classmethod
    def from_config(cls, settings: Mapping[str, Any]) -> Iterable[Self]:
        """Yield one instance for each host in ``settings``, the agent's section.

        An agent without settings need not define this. Raises ``ConfigError``. An instance
        that turns out to equal one that serves already is dropped without a word, so nothing
        is to be opened here, nor in ``__init__``.
        """
        refuse_all(settings, f"agents.{cls.name}")
        yield cls()

    @classmethod
    def revision(cls, settings: Mapping[str, Any]) -> Hashable:  # noqa: ARG003
        """Return what changes whenever :meth:`from_config` would yield other instances.

        An agent whose hosts are kept elsewhere than in ``settings`` overrides this, and a
        worker asks for it every couple of seconds: it is to be cheap. ``None``, as here, says
        that they never change; otherwise ``from_config`` may also yield nothing for now. What
        it raises is logged, and what serves goes on.
        """
        return None

    @classmethod
    def complaints(cls, settings: Mapping[str, Any]) -> Iterable[str]:  # noqa: ARG003
        """Yield a sentence for each thing that is wrong beside ``settings``, with its remedy.

        For ``vpoller doctor``, so of what instances do not need to be made: a file that others
        can read, a password that cannot be decrypted. Nothing is to be contacted. Raises
        ``ConfigError``.
        """
        return ()

    def setup(self) -> None:
        """Get ready to serve; called once in each process, before the first task.

        Not always in the process's main thread.
        """

    def teardown(self) -> None:
        """Give back what was taken; called once in each process, after the last task.

        Not always in the process's main thread, and for many hosts at once.
        """

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


def identity_of(agent: Agent) -> Hashable:
    """Return what is equal for instances of which one may stand for the other."""
    hostnames = None if agent.hostnames is None else tuple(agent.hostnames)
    return type(agent), hostnames, agent.variant


def is_revised(kind: type[Agent]) -> bool:
    """Say whether instances of ``kind`` may become others while a worker runs."""
    # Where it is defined, and not what it is: each access makes another bound method.
    return next(base for base in kind.__mro__ if "revision" in vars(base)) is not Agent


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
