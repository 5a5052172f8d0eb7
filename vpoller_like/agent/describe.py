"""Types as words, for people who ask what a method takes."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from msgspec import inspect

_WORDS: dict[type[inspect.Type], str] = {
    inspect.AnyType: "any",
    inspect.RawType: "any",
    inspect.NoneType: "null",
    inspect.BoolType: "boolean",
    inspect.IntType: "integer",
    inspect.FloatType: "number",
    inspect.DecimalType: "decimal",
    inspect.StrType: "string",
    inspect.BytesType: "string (base64)",
    inspect.DateTimeType: "string (date and time, RFC 3339)",
    inspect.DateType: "string (date, RFC 3339)",
    inspect.TimeType: "string (time, RFC 3339)",
    inspect.TimeDeltaType: "string (duration, ISO 8601)",
    inspect.UUIDType: "string (UUID)",
}


def type_words(kind: inspect.Type) -> str:
    """Return words for ``kind``, such as ``list of string`` or ``integer or null``."""
    match kind:
        case inspect.Metadata():
            return type_words(kind.type)
        case inspect.UnionType():
            return " or ".join(type_words(part) for part in kind.types)
        case inspect.LiteralType():
            return _choice(kind.values)
        case inspect.EnumType():
            return _choice(tuple(member.value for member in kind.cls))
        case inspect.CollectionType():
            return _of("list", kind.item_type)
        case inspect.DictType():
            return _of("object", kind.value_type)
    return _WORDS.get(type(kind), "list" if isinstance(kind, inspect.TupleType) else "object")


def plain_default(field: inspect.Field) -> Any:
    """Return a field's default as JSON would show it; ``None`` where there is none."""
    value = field.default
    if value is msgspec.NODEFAULT:
        factory = field.default_factory
        value = None if factory is msgspec.NODEFAULT else factory()
    return msgspec.json.decode(msgspec.json.encode(value, enc_hook=repr))


def _choice(values: tuple[Any, ...]) -> str:
    return " or ".join(json.dumps(value, default=str) for value in values)


def _of(container: str, item: inspect.Type) -> str:
    words = type_words(item)
    return container if words == "any" else f"{container} of {words}"
