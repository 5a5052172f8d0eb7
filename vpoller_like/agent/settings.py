"""Reading an agent's section of the configuration into a Struct."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

import msgspec
from msgspec import inspect

from vpoller_like.agent.params import complaint
from vpoller_like.agent.secrets import texts_of
from vpoller_like.agent.vault import VAULT
from vpoller_like.errors import ConfigError

S = TypeVar("S", bound=msgspec.Struct)


def read(struct: type[S], mapping: Mapping[str, Any], section: str) -> S:
    """Return ``mapping``, the section named ``section``, as a ``struct``.

    Raises ``ConfigError`` that names the setting: unknown (with the nearest one that
    exists), missing, or of a wrong type. Values are never in the message; those of settings
    that are marked :data:`~vpoller_like.agent.Secret` are in no log from here on.
    """
    VAULT.keep(texts_of(_marked(inspect.type_info(struct), mapping)))
    for path, nearest in _unknown(inspect.type_info(struct), mapping, section):
        raise ConfigError(f"{path}: unknown setting{nearest}", setting=path)
    try:
        return msgspec.convert(mapping, struct, str_keys=True)
    except msgspec.ValidationError as error:
        raise ConfigError(_in_section(section, complaint(error))) from None


def refuse_all(mapping: Mapping[str, Any], section: str) -> None:
    """Raise ``ConfigError`` where there are settings for an agent that takes none."""
    for key in mapping:
        raise ConfigError(f"{section}.{key}: unknown setting; this agent has none; remove it")


def _in_section(section: str, fault: str) -> str:
    field, colon, _ = fault.partition(": ")
    return f"{section}.{fault}" if colon and " " not in field else f"{section}: {fault}"


def _marked(kind: inspect.Type, value: Any) -> Iterator[Any]:
    """Yield each value whose type is marked secret."""
    if isinstance(kind, inspect.Metadata) and (kind.extra or {}).get("secret"):
        yield value
        return
    for inner_kind, inner in _inside(kind, value):
        yield from _marked(inner_kind, inner)


def _inside(kind: inspect.Type, value: Any) -> Iterator[tuple[inspect.Type, Any]]:
    match kind, value:
        case inspect.Metadata(), _:
            yield kind.type, value
        case inspect.UnionType(), _:
            yield from ((part, value) for part in kind.types)
        case inspect.StructType(), Mapping():
            yield from ((field.type, value.get(field.encode_name)) for field in kind.fields)
        case inspect.CollectionType(), list():
            yield from ((kind.item_type, item) for item in value)
        case inspect.DictType(), Mapping():
            yield from ((kind.value_type, item) for item in value.values())


def _unknown(kind: inspect.Type, value: Any, path: str) -> Iterator[tuple[str, str]]:
    """Yield the path of each setting that ``kind`` does not have, and its neighbours."""
    match kind, value:
        case inspect.Metadata(), _:
            yield from _unknown(kind.type, value, path)
        case inspect.UnionType(), _:
            structs = [part for part in kind.types if isinstance(part, inspect.StructType)]
            for part in structs if len(structs) == 1 else ():
                yield from _unknown(part, value, path)
        case inspect.StructType(), Mapping():
            yield from _unknown_fields(kind, value, path)
        case inspect.CollectionType(), list():
            for index, item in enumerate(value):
                yield from _unknown(kind.item_type, item, f"{path}[{index}]")
        case inspect.DictType(), Mapping():
            for key, item in value.items():
                yield from _unknown(kind.value_type, item, f"{path}.{key}")


def _unknown_fields(
    kind: inspect.StructType, value: Mapping[str, Any], path: str
) -> Iterator[tuple[str, str]]:
    known = {field.encode_name: field.type for field in kind.fields}
    for key, item in value.items():
        if key in known:
            yield from _unknown(known[key], item, f"{path}.{key}")
        else:
            yield f"{path}.{key}", _nearest(key, list(known))


def _nearest(key: str, known: list[str]) -> str:
    close = get_close_matches(key, known, 1, 0.5)
    if close:
        return f"; did you mean {close[0]}?"
    return f"; there are: {', '.join(sorted(known))}"
