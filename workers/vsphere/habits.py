"""How vPoller's clients write parameters: its Zabbix module, its C client and its program."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from msgspec import inspect

#: What C programs print for what they have not set, and what others write in its place.
_UNSET = ("", "(null)", "null")
#: The same where the text may be anything that a person thinks of.
_UNSET_SECRET = ("", "(null)")
#: Parameters by other names.
_ALIASES = {"counter-id": "counter-name"}

_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[+-]?[0-9]{1,18}(\.[0-9]{1,18})?")
#: What is between commas, but for those in the brackets of a path: ``config.option["a,b"]``.
_PATH = re.compile(r"(?:\[[^\[\]]*\]|[^,])+")


def plain(struct: type, given: dict[str, Any]) -> dict[str, Any]:
    """Return ``given`` as if another client had sent it, for a ``struct`` of parameters.

    ``""``, ``"(null)"``, ``"null"`` and ``None`` are absent, but ``"null"`` as a secret is kept:
    a password may be that. ``properties`` are split at commas, and what is absent left out of
    them. A number may be written as text. An alias stands for its parameter, where that is
    absent. What is wrong stays as it is, to be complained of.
    """
    shape = _shape(struct)
    found = {
        key: _value(shape, key, value)
        for key, value in given.items()
        if not _is_unset(value, key in shape.secret)
    }
    for alias, name in _ALIASES.items():
        if alias in found and name in shape.names and alias not in shape.names:
            value = found.pop(alias)
            found.setdefault(name, value)
    return {key: value for key, value in found.items() if value != []}


def _is_unset(value: Any, secret: bool) -> bool:
    if isinstance(value, str):
        return value in (_UNSET_SECRET if secret else _UNSET)
    return value is None


class _Shape(msgspec.Struct, frozen=True):
    """The names of a Struct's parameters, and of those that are of some kind."""

    names: frozenset[str]
    secret: frozenset[str]
    whole: frozenset[str]
    decimal: frozenset[str]


@cache
def _shape(struct: type) -> _Shape:
    info = inspect.type_info(struct)
    assert isinstance(info, inspect.StructType), "parameters are a Struct"
    kinds = {field.encode_name: list(_kinds(field.type)) for field in info.fields}
    return _Shape(
        names=frozenset(kinds),
        secret=frozenset(name for name, parts in kinds.items() if any(map(_is_secret, parts))),
        whole=_numeric(kinds, inspect.IntType),
        decimal=_numeric(kinds, inspect.FloatType),
    )


def _numeric(kinds: dict[str, list[inspect.Type]], number: type) -> frozenset[str]:
    """Return the parameters that take a ``number``, and no text."""
    texts = (inspect.StrType, inspect.AnyType)
    return frozenset(
        name
        for name, parts in kinds.items()
        if any(isinstance(part, number) for part in parts)
        and not any(isinstance(part, texts) for part in parts)
    )


def _kinds(kind: inspect.Type) -> Iterator[inspect.Type]:
    yield kind
    if isinstance(kind, inspect.Metadata):
        yield from _kinds(kind.type)
    elif isinstance(kind, inspect.UnionType):
        for part in kind.types:
            yield from _kinds(part)


def _is_secret(kind: inspect.Type) -> bool:
    return isinstance(kind, inspect.Metadata) and bool((kind.extra or {}).get("secret"))


def _value(shape: _Shape, key: str, value: Any) -> Any:
    if key == "properties" and isinstance(value, list):
        return [part for item in value for part in _paths(item)]
    if isinstance(value, str) and key in shape.whole and _WHOLE.fullmatch(value):
        return int(value)
    if isinstance(value, str) and key in shape.decimal and _DECIMAL.fullmatch(value):
        return float(value)
    return value


def _paths(item: Any) -> list[Any]:
    if not isinstance(item, str):
        return [item]
    parts = (part.strip() for part in _PATH.findall(item))
    return [part for part in parts if part not in _UNSET]
