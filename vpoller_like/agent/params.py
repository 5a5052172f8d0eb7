"""A task's parameters: what it declares, and reading what a client sent into it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from inspect import ismethod
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import inspect

from vpoller_like.agent.describe import plain_default, type_words
from vpoller_like.agent.reading import Reader
from vpoller_like.agent.secrets import is_secret, is_telltale, secret_values
from vpoller_like.errors import AgentError, InvalidParams
from vpoller_like.protocol.encoding import field_fault
from vpoller_like.protocol.worker import Param

T = TypeVar("T")

#: Marks a secret parameter: ``password: Secret[str]``. Its value appears in no log and
#: in no error message.
Secret = Annotated[T, msgspec.Meta(extra={"secret": True})]


class Params(msgspec.Struct, frozen=True):
    """Base for a task's parameters; any other ``msgspec.Struct`` does as well.

    Parameters that are not declared are ignored, and ``null`` for one with a default is
    the default: clients of vPoller send every parameter they know of, unset ones as null.
    """

    @classmethod
    def prepare(cls, given: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters to validate in place of those ``given``, by their names there.

        Override it to take what clients of another program write differently: it is called
        for each request, before validation, and only where it is overridden. Leave ``given``
        itself as it is. What is secret must be so under the name that the client gave it,
        too. A ``RequestError`` that it raises is the answer.
        """
        return given


class Schema(Reader):
    """The parameters of a task that takes a plain dict: anything goes."""

    def __init__(self, params: tuple[Param, ...] = (), **reading: Any) -> None:
        harmless = (p.name for p in params if not (p.secret or is_telltale(p.name)))
        secret = (param.name for param in params if param.secret)
        super().__init__(frozenset(harmless), frozenset(secret), **reading)
        #: For people and tools.
        self.params = params

    def prepared(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters ``given`` as they are validated; see :meth:`Params.prepare`."""
        return given if self._prepare is None else self._prepare(given)

    def shown(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the parameters ``given`` as they are validated, but for those that are secret."""
        with contextlib.suppress(Exception):
            # Else the task's answer tells of it.
            given = self.prepared(given)
        known = {param.name for param in self.params}
        return {k: v for k, v in given.items() if not is_secret(k, self.secret, known)}

    def declares(self, name: str) -> bool:
        """Say whether there is a parameter ``name``."""
        return any(param.name == name for param in self.params)

    def has_secrets(self, given: Mapping[str, Any]) -> bool:
        """Say whether a parameter among those ``given`` is secret, or sounds so."""
        return not self.secret.isdisjoint(given) or any(map(is_telltale, given))

    def secrets(self, given: Mapping[str, Any]) -> list[str]:
        """Return the secret texts among the parameters ``given``, longest first."""
        return secret_values(given, self.secret, {param.name for param in self.params})


class StructSchema(Schema):
    """The parameters of a task that takes a Struct."""

    def __init__(self, info: inspect.StructType) -> None:
        super().__init__(
            tuple(_param(field) for field in info.fields),
            struct=info.cls,
            prepare=_preparing(info.cls),
            reads_keys=_has_keys(info),
            keeps_null=frozenset(
                field.encode_name
                for field in info.fields
                if field.required and _admits_null(field.type)
            ),
        )

    def _invalid(self, error: Exception) -> InvalidParams:
        message = complaint(error)
        field, colon, fault = message.partition(": ")
        if not colon or " " in field:
            return InvalidParams(message)
        if fault.startswith("invalid enum value"):
            message += "".join(
                f"; expected {param.type}" for param in self.params if param.name == field
            )
        return InvalidParams(message, field=field)


def schema_of(annotation: Any, where: str) -> Schema:
    """Return the schema that a task's parameter annotation stands for.

    ``where`` names the function in errors. Raises ``AgentError`` for anything but a dict,
    a Struct, or no annotation.
    """
    try:
        info = inspect.type_info(annotation)
    except (TypeError, NameError) as error:
        raise AgentError(f"{where}: parameters cannot be understood: {error}") from error
    if isinstance(info, inspect.StructType):
        return StructSchema(info)
    if isinstance(info, inspect.AnyType | inspect.DictType):
        return Schema()
    raise AgentError(
        f"{where}: parameters must be a msgspec.Struct or a dict, not {type_words(info)}"
    )


def _preparing(struct: type) -> Callable[[dict[str, Any]], dict[str, Any]] | None:
    """Return the override of :meth:`Params.prepare`; ``None`` where there is none."""
    prepare = getattr(struct, "prepare", None) if issubclass(struct, Params) else None
    # A field may have that name, too.
    if not ismethod(prepare) or prepare.__func__ is vars(Params)["prepare"].__func__:
        return None
    return prepare


_MISSING = re.compile(
    r"^Object missing required field `(?P<field>[^`]*)`(?: - at `\$(?P<at>.*)`)?$"
)
_UNKNOWN = re.compile(
    r"^Object contains unknown field `(?P<field>[^`]*)`(?: - at `\$(?P<at>.*)`)?$"
)


def complaint(error: Exception) -> str:
    """Return ``name: missing``, ``seconds: expected float, got str`` and the like."""
    for pattern, word in ((_MISSING, "missing"), (_UNKNOWN, "unknown parameter")):
        if found := pattern.match(str(error)):
            path = f"{found['at'] or ''}.{found['field']}".lstrip(".")
            return f"{path}: {word}"
    if isinstance(error, msgspec.ValidationError):
        return field_fault(error)
    return f"parameters cannot be read: {error}"


def _param(field: inspect.Field) -> Param:
    secret = _is_secret(field.type)
    return Param(
        name=field.encode_name,
        type=type_words(field.type),
        required=field.required,
        default=None if secret else plain_default(field),
        doc=_description(field.type),
        secret=secret,
    )


def _description(kind: inspect.Type) -> str:
    schema = (kind.extra_json_schema or {}) if isinstance(kind, inspect.Metadata) else {}
    inner = (_description(part) for part in _shallow(kind))
    return str(schema.get("description", "")) or next(filter(None, inner), "")


def _admits_null(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.AnyType | inspect.NoneType) or any(
        _admits_null(part) for part in _shallow(kind)
    )


def _shallow(kind: inspect.Type) -> tuple[inspect.Type, ...]:
    if isinstance(kind, inspect.Metadata):
        return (kind.type,)
    return kind.types if isinstance(kind, inspect.UnionType) else ()


def _is_secret(kind: inspect.Type) -> bool:
    """Say whether a type is marked secret or holds, at any depth, one that is."""
    return any(
        isinstance(part, inspect.Metadata) and bool((part.extra or {}).get("secret"))
        for part in _parts(kind, set())
    )


def _has_keys(kind: inspect.Type) -> bool:
    """Say whether a type may hold, at any depth, an object with any keys."""
    holders = inspect.DictType | inspect.NamedTupleType
    return any(isinstance(part, holders) for part in _parts(kind, set()))


def _parts(kind: inspect.Type, seen: set[type]) -> Iterator[inspect.Type]:
    yield kind
    for part in _inner(kind, seen):
        yield from _parts(part, seen)


def _inner(kind: inspect.Type, seen: set[type]) -> tuple[inspect.Type, ...]:
    match kind:
        case inspect.CollectionType():
            return (kind.item_type,)
        case inspect.TupleType():
            return kind.item_types
        case inspect.DictType():
            return (kind.key_type, kind.value_type)
        case inspect.StructType() | inspect.DataclassType() | inspect.TypedDictType():
            # A Struct may hold itself.
            if kind.cls in seen:
                return ()
            seen.add(kind.cls)
            return tuple(field.type for field in kind.fields)
    return _shallow(kind)
