"""The decorator that makes a method of an agent a task that clients can call."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from functools import cached_property
from typing import Any, Generic, Self, TypeVar, overload

from vpoller_like.agent.bound import BoundTask
from vpoller_like.agent.params import Schema, schema_of
from vpoller_like.errors import AgentError
from vpoller_like.protocol.limits import MAX_METHOD
from vpoller_like.protocol.worker import Method

P = TypeVar("P")
R = TypeVar("R")

MSG = "Successfully ran the task"


def task(
    name: str, *, retry_safe: bool = False, timeout: float = 60.0, msg: str = MSG
) -> Callable[[Callable[[Any, P], R]], Task[P, R]]:
    """Make a method the task ``name``, such as ``vm.get``.

    ``retry_safe``: running it twice does no harm, so that it is given to another worker
    when one dies with it. ``timeout``: seconds after which a run is given up. ``msg``:
    the reply's sentence on success. Raises ``AgentError`` for what cannot be a task.
    """

    def decorate(function: Callable[[Any, P], R]) -> Task[P, R]:
        return Task(function, name, retry_safe, timeout, msg)

    return decorate


class Task(Generic[P, R]):
    """One task of an agent class; ``function`` is what was decorated."""

    def __init__(
        self,
        function: Callable[[Any, P], R],
        name: str,
        retry_safe: bool,
        timeout: float,
        msg: str,
        doc: str = "",
    ) -> None:
        self.function = function
        self.name = name
        self.retry_safe = retry_safe
        self.timeout = timeout
        self.msg = msg
        #: What the task does, in one line.
        self.doc = _first_line(function) or doc
        self.__doc__ = function.__doc__
        self.__wrapped__ = function
        self._check()

    @overload
    def __get__(self, agent: None, owner: type) -> Self: ...

    @overload
    def __get__(self, agent: object, owner: type) -> BoundTask[P, R]: ...

    def __get__(self, agent: Any, owner: type) -> Self | BoundTask[P, R]:
        return self if agent is None else BoundTask(self, agent)

    def __repr__(self) -> str:
        return f"<task {self.name}: {self.function.__qualname__}>"

    @cached_property
    def schema(self) -> Schema:
        """The parameters that it takes.

        Looked at when first needed: the Struct may be defined below the agent.
        """
        return schema_of(_annotation(self.function), self._where)

    def method(self) -> Method:
        """Return its declaration, as the worker offers it."""
        return Method(
            name=self.name,
            retry_safe=self.retry_safe,
            timeout_ms=max(1, round(self.timeout * 1000)),
            doc=self.doc,
            params=list(self.schema.params),
        )

    def overridden_by(self, function: Callable[[Any, Any], Any]) -> Task[Any, Any]:
        """Return the same task done by ``function``, a subclass's undecorated override."""
        return Task(function, self.name, self.retry_safe, self.timeout, self.msg, self.doc)

    @property
    def _where(self) -> str:
        return f"task {self.name} ({self.function.__qualname__})"

    def _check(self) -> None:
        if not inspect.isfunction(self.function):
            raise AgentError(f"task {self.name}: decorate a plain method, not {self.function!r}")
        if inspect.iscoroutinefunction(self.function):
            raise AgentError(f"{self._where}: tasks run in threads; make it a def, not async def")
        if not _is_name(self.name):
            raise AgentError(
                f"{self._where}: a task's name is 1 to {MAX_METHOD} printable characters "
                "without spaces"
            )
        if not self.timeout > 0:
            raise AgentError(f"{self._where}: timeout must be more than 0 seconds")
        if len(inspect.signature(self.function).parameters) != 2:
            raise AgentError(f"{self._where}: a task takes self and one more argument, msg")


def _is_name(name: object) -> bool:
    if not isinstance(name, str) or not 0 < len(name) <= MAX_METHOD:
        return False
    return name.isprintable() and " " not in name


def _first_line(function: Any) -> str:
    doc = inspect.cleandoc(getattr(function, "__doc__", None) or "")
    return doc.partition("\n")[0].strip()


def _annotation(function: Callable[..., Any]) -> Any:
    """Return the annotation of a task's parameters; ``Any`` where there is none."""
    parameter = list(inspect.signature(function).parameters.values())[1]
    if parameter.annotation is parameter.empty:
        return Any
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    return _resolved(parameter.annotation, function)


def _resolved(annotation: str, function: Callable[..., Any]) -> Any:
    # Of the parameter alone: what the return type names may exist for type checkers only.
    holder = type("holder", (), {"__annotations__": {"msg": annotation}})
    scope = getattr(function, "__globals__", {})
    try:
        return typing.get_type_hints(holder, scope, {}, include_extras=True)["msg"]
    except Exception as error:
        raise AgentError(
            f"{function.__qualname__}: its parameters' type {annotation!r} cannot be found "
            f"({error}); define it at the top level of its module"
        ) from error
