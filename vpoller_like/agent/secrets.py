"""Keeping the values of secret parameters out of logs and error messages."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from vpoller_like.protocol.worker import Method

HIDDEN = "***"

#: A task that takes a plain dict declares nothing, and clients send parameters that a
#: method does not know: names like these are taken for secrets when undeclared.
_TELLTALE = re.compile(r"passw|passphrase|pwd|secret|token|credential|api_?key", re.IGNORECASE)

#: Putting stars for every occurrence of a shorter one would spell it out.
_SHORTEST = 4


def redact(fields: Mapping[str, Any], method: Method) -> dict[str, Any]:
    """Return ``fields``, a request or its parameters, with secret values hidden."""
    names = {param.name for param in method.params if param.secret}
    known = {param.name for param in method.params}
    return {
        key: HIDDEN if value is not None and _is_secret(key, names, known) else value
        for key, value in fields.items()
    }


def secret_values(
    params: Mapping[str, Any], names: Collection[str], known: Collection[str]
) -> list[str]:
    """Return every text that is, or is inside, a secret parameter's value, longest first.

    ``names`` are the secret parameters, ``known`` all that are declared.
    """
    texts = {
        text
        for key, value in params.items()
        if _is_secret(key, names, known)
        for text in _texts(value)
    }
    return sorted(texts - {""}, key=len, reverse=True)


def hide(text: str, secrets: Collection[str]) -> str:
    """Return ``text`` without any of ``secrets``, however quoted."""
    for secret in secrets:
        for form in _forms(secret):
            if form in text and len(secret) < _SHORTEST:
                return "(hidden: it contains the value of a secret parameter)"
            text = text.replace(form, HIDDEN)
    return text


def hide_in(value: Any, secrets: Collection[str]) -> Any:
    """Return ``value``, of JSON's kinds, with ``secrets`` hidden in its texts."""
    if isinstance(value, str):
        return hide(value, secrets)
    if isinstance(value, Mapping):
        return {key: hide_in(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [hide_in(item, secrets) for item in value]
    if isinstance(value, bool | int | float | None):
        return HIDDEN if str(value) in secrets else value
    return hide(str(value), secrets)


def _is_secret(key: str, names: Collection[str], known: Collection[str]) -> bool:
    return key in names or (key not in known and _TELLTALE.search(key) is not None)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
    elif value is not None and not isinstance(value, bool):
        yield str(value)


def _forms(secret: str) -> set[str]:
    escaped = {
        repr(secret)[1:-1],
        json.dumps(secret)[1:-1],
        quote(secret, safe="", errors="replace"),
    }
    return escaped | {secret, json.dumps(secret, ensure_ascii=False)[1:-1]}
