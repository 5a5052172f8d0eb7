"""How an object is named in a request: by reference, inventory path, UUID, name or pattern."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from typing import Any

from workers.vsphere.inventory.kinds import Kind
from workers.vsphere.vmomi import support

#: pyVmomi writes ids into its XML as they stand, so none may have markup.
_REFERENCE = re.compile(r"(?P<type>[A-Za-z]+):(?P<id>[^\s<>&\x00-\x1f]+)")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_ESCAPE = re.compile(r"%(2f|5c|25)", re.IGNORECASE)
_PATTERN = re.compile(r"[*?\[]")
_CHARACTERS = {"%25": "%", "%2f": "/", "%5c": "\\"}


def referred(kind: Kind, text: str) -> Any:
    """Return the managed object that ``text`` refers to (``VirtualMachine:vm-42``).

    ``None`` where it is no reference, or one to an object of another kind.
    """
    return managed_object(text, kind.type)


def managed_object(text: str, base: Any) -> Any:
    """Return the same of any type that is a ``base``."""
    found = _REFERENCE.fullmatch(text)
    named = _managed_type(found["type"]) if found else None
    if found is None or named is None or not issubclass(named, base):
        return None
    return named(found["id"])


def is_path(text: str) -> bool:
    """Say whether ``text`` is an inventory path; no name has a slash that is not escaped."""
    return text.startswith("/")


def is_pattern(text: str) -> bool:
    """Say whether ``text`` may be a pattern, of ``*``, ``?`` and ``[...]``."""
    return _PATTERN.search(text) is not None


def as_uuid(text: str) -> str | None:
    """Return the UUID that ``text`` is, as vSphere writes it, or ``None``."""
    return text.lower() if _UUID.fullmatch(text) else None


def spellings(text: str) -> tuple[str, ...]:
    """Return how vSphere may write the name ``text``: as it stands, and escaped.

    vSphere keeps a slash, a backslash and a percent sign in a name as ``%2f``, ``%5c`` and
    ``%25``.
    """
    as_given = in_lower_case(text)
    escaped = text.replace("%", "%25").replace("/", "%2f").replace("\\", "%5c")
    return tuple(dict.fromkeys((text, as_given, escaped)))


def in_lower_case(text: str) -> str:
    """Return ``text`` with its escapes as vSphere writes them, ``%2f`` rather than ``%2F``."""
    return _ESCAPE.sub(lambda found: found[0].lower(), text)


def unescaped(name: str) -> str:
    """Return a name of vSphere's as people see it: ``a/b`` for ``a%2fb``."""
    return _ESCAPE.sub(lambda found: _CHARACTERS[found[0].lower()], name)


def matcher(pattern: str) -> Callable[[str], bool]:
    """Return a check whether a name of vSphere's fits ``pattern``, escaped or not."""
    fits = re.compile(fnmatch.translate(pattern)).match
    return lambda name: fits(name) is not None or fits(unescaped(name)) is not None


def _managed_type(wsdl_name: str) -> Any:
    try:
        found = support.GetWsdlType("urn:vim25", wsdl_name)
    except KeyError:
        return None
    return found if issubclass(found, support.ManagedObject) else None
