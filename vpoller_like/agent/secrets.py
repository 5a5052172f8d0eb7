"""Keeping the values of secret parameters out of logs and error messages."""

from __future__ import annotations

import base64
import html
import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from typing import Any

from vpoller_like.protocol.worker import Method

HIDDEN = "***"

#: A task that takes a plain dict declares nothing, and clients send parameters that a
#: method does not know: names like these are taken for secrets when undeclared.
_TELLTALE = re.compile(r"passw|passphrase|pwd|secret|token|credential|api_?key", re.IGNORECASE)

#: Keys with such an end say where a secret is, not what it is.
_POINTERS = ("_file", "_env", "_command")

#: Putting stars for every occurrence of a shorter one would spell it out.
SHORTEST = 4
#: A longer one is looked for in fewer spellings: each takes its place in a pattern.
_LONGEST = 4096


@lru_cache(maxsize=4096)
def is_telltale(key: str) -> bool:
    """Say whether what is called ``key`` is a secret by its name."""
    return _TELLTALE.search(key) is not None


def is_secret_setting(key: str) -> bool:
    """Say whether a setting called ``key`` holds a secret, and does not only say where it is."""
    return is_telltale(key) and not key.lower().endswith(_POINTERS)


def redact(fields: Mapping[str, Any], method: Method) -> dict[str, Any]:
    """Return ``fields``, a request or its parameters, with secret values hidden."""
    names = {param.name for param in method.params if param.secret}
    known = {param.name for param in method.params}
    return {
        key: HIDDEN if value is not None and is_secret(key, names, known) else _starred(value)
        for key, value in fields.items()
    }


def _starred(value: Any) -> Any:
    """Return ``value`` with what stands under a telltale key hidden, at any depth."""
    if isinstance(value, Mapping):
        return {
            key: HIDDEN if inner is not None and is_secret_setting(str(key)) else _starred(inner)
            for key, inner in value.items()
        }
    return [_starred(item) for item in value] if isinstance(value, list | tuple) else value


def secret_values(
    params: Mapping[str, Any], names: Collection[str], known: Collection[str]
) -> list[str]:
    """Return every text that is, or is inside, a secret parameter's value, longest first.

    ``names`` are the secret parameters, ``known`` all that are declared.
    """
    found: list[Any] = []
    for key, value in params.items():
        if is_secret(key, names, known):
            found.append(value)
        elif isinstance(value, Mapping | list | tuple):
            found.extend(_named_secret(value))
    return texts_of(found)


def settings_secrets(section: Mapping[str, Any]) -> list[str]:
    """Return every text that a setting named as a secret holds, at any depth, longest first."""
    return texts_of(_named_secret(section))


def _named_secret(value: Any) -> Iterator[Any]:
    """Yield what stands under a telltale key in ``value``, at any depth."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if is_secret_setting(str(key)):
                yield inner
            else:
                yield from _named_secret(inner)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _named_secret(item)


def texts_of(values: Iterable[Any]) -> list[str]:
    """Return every text that is, or is inside, one of ``values``, longest first."""
    texts = {text for value in values for text in _texts(value)}
    return sorted(texts - {""}, key=len, reverse=True)


def hide(text: str, secrets: Collection[str]) -> str:
    """Return ``text`` without any of ``secrets``, however quoted."""
    for secret in filter(None, secrets):
        pattern = _pattern(secret)
        if len(secret) < SHORTEST and pattern.search(text):
            return "(hidden: it contains the value of a secret parameter)"
        text = pattern.sub(HIDDEN, text)
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


def is_secret(key: str, names: Collection[str], known: Collection[str]) -> bool:
    """Say whether the parameter ``key`` is secret: among ``names``, or by its name alone."""
    return key in names or (key not in known and is_telltale(key))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, bytes):
        yield value.decode("utf-8", "replace")
        yield repr(value)[2:-1]
    elif value is not None and not isinstance(value, bool):
        yield str(value)


@lru_cache(maxsize=256)
def _pattern(secret: str) -> re.Pattern[str]:
    """Return what finds ``secret`` however it is written: escaped, encoded, or in Base64."""
    data = secret.encode("utf-8", "backslashreplace")
    whole = [
        re.escape(base64.b64encode(data).decode()),
        re.escape(base64.urlsafe_b64encode(data).decode()),
    ]
    if len(secret) > _LONGEST:
        whole += [re.escape(secret), re.escape(json.dumps(secret)[1:-1])]
        whole += [re.escape(repr(secret)[1:-1]), re.escape(repr(data)[2:-1])]
    else:
        parts = [_spellings(part) for part in re.findall(r"\\+|[^\\]", secret)]
        # Not in the middle of backslashes: it would begin at each of them anew.
        whole.append(("" if parts[0].isalnum() else r"(?<!\\)") + "".join(parts))
    return re.compile("|".join(whole))


@lru_cache(maxsize=1024)
def _spellings(char: str) -> str:
    """Return a pattern for how one character, or several backslashes, may be written.

    A text that quotes a text that quotes it, as an exception's does that shows a body, has
    each escape escaped once more: any number of backslashes stands for one.
    """
    if char.startswith("\\"):
        return r"(?:\\++|(?:%5[Cc])+)"
    if char.isascii() and char.isalnum():
        return char  # however often the text around it is quoted
    data = char.encode("utf-8", "backslashreplace")
    escapes = {ascii(char)[1:-1], repr(char)[1:-1], json.dumps(char)[1:-1], repr(data)[2:-1]}
    escapes = {escape for escape in escapes if escape.startswith("\\")}
    percent = "".join(f"%{byte:02x}" for byte in data)
    options = {
        r"\\*+" + re.escape(char),
        *("".join(rf"\\*+{re.escape(part)}" for part in e.split("\\")[1:]) for e in escapes),
        f"(?i:{percent})",
        re.escape(html.escape(char)),
        *([r"\+"] if char == " " else []),
    }
    return f"(?:{'|'.join(sorted(options))})"
