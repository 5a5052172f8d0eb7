"""Property paths such as ``runtime.powerState``, as the API's schema knows them."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from vpoller_like.errors import InvalidParams


def unknown_property(kind: Any, path: str) -> InvalidParams:
    """Return the error that ``kind`` has no property ``path``, with what may be meant."""
    nearest = _nearest(kind, path)
    hint = f"did you mean {nearest}?" if nearest else "leave it out"
    return InvalidParams(
        f"properties: {kind._wsdlName} has no property {path}; {hint}",
        field="properties",
        property=path,
    )


def refuse_unknown(kind: Any, paths: Iterable[str]) -> None:
    """Raise ``InvalidParams`` for a path of more than one step, or of no such property."""
    known = properties_of(kind)
    for path in paths:
        if path not in known:
            raise unknown_property(kind, path)


def properties_of(kind: Any) -> dict[str, Any]:
    """Return the types of the properties of a managed or data object's type, by name."""
    if not hasattr(kind, "_GetPropertyList"):
        return {}
    return {prop.name: prop.type for prop in kind._GetPropertyList()}


def _nearest(kind: Any, path: str) -> str | None:
    """Return ``path`` with its first wrong step replaced by the most similar one."""
    right: list[str] = []
    for step in path.split("."):
        properties = properties_of(kind)
        if step not in properties:
            similar = _most_similar(step, list(properties))
            return ".".join([*right, similar]) if similar else None
        right.append(step)
        kind = properties[step]
    return None


def _most_similar(step: str, names: list[str]) -> str | None:
    # Upper and lower case are mixed up more often than letters are.
    spelled = {name.lower(): name for name in names}
    similar = get_close_matches(step.lower(), spelled, 1)
    return spelled[similar[0]] if similar else None
