"""Keys on disk.

A directory holds, for each key made here, ``NAME.key`` (the secret half, closed to others)
and ``NAME.pub`` (the public half, to be handed around). Both are 40 characters of Z85.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Mapping

from vpoller_like import permissions
from vpoller_like.errors import ConfigError
from vpoller_like.whole_files import write_new

SYSTEM_DIRECTORY = "/etc/vpoller/keys"

# A name is shorter than a key, so that the two can be told apart.
_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}"
_DIGITS = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#"
_VALUES = {digit: value for value, digit in enumerate(_DIGITS)}
_KEY_LENGTH = 40

_Requirement = Callable[[os.stat_result, str], None]


def default_directory(environ: Mapping[str, str] | None = None) -> str:
    """Return where keys are unless ``security.keys`` says otherwise."""
    environ = os.environ if environ is None else environ
    if os.geteuid() == 0 and os.path.isdir(SYSTEM_DIRECTORY):
        return SYSTEM_DIRECTORY
    base = environ.get("XDG_CONFIG_HOME") or os.path.join(environ.get("HOME", "/"), ".config")
    return os.path.join(base, "vpoller", "keys")


def make_directory(path: str) -> None:
    """Make a directory of keys where there is none; raise ``ConfigError`` if it cannot be."""
    try:
        os.makedirs(path, mode=0o755, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot make {path}: {error.strerror}; see security.keys") from error


class KeyDirectory:
    """The keys in one directory, which need not exist."""

    def __init__(self, path: str | os.PathLike[str] = "") -> None:
        self.path = os.path.expanduser(os.fspath(path)) or default_directory()

    def secret_file(self, name: str) -> str:
        """Return where the secret half of the key ``name`` is; a path ``….key`` is itself."""
        if _is_path(name, ".key"):
            return os.path.expanduser(name)
        return os.path.join(self.path, f"{require_name(name)}.key")

    def public_file(self, name: str) -> str:
        """Return where the public half of the key ``name`` is; a path ``….pub`` is itself."""
        if _is_path(name, ".pub"):
            return os.path.expanduser(name)
        return os.path.join(self.path, f"{require_name(name)}.pub")

    def names(self) -> list[str]:
        """Return the names of all keys of which either half is here."""
        try:
            files = os.listdir(self.path)
        except FileNotFoundError:
            return []
        parts = (os.path.splitext(file) for file in files)
        return sorted({name for name, end in parts if end in (".key", ".pub") and _is_name(name)})

    def secret(self, name: str) -> str:
        """Return the secret half of a key; raise ``ConfigError`` where it is not kept so."""
        path = self.secret_file(name)
        remedy = f"make it with `vpoller keys new {_made_as(path)}`"
        return _read(path, remedy, permissions.require_closed)

    def require_closed(self, name: str) -> None:
        """Raise ``ConfigError`` where others may read a key's secret half, if it is there."""
        path = self.secret_file(name)
        with contextlib.suppress(OSError):  # reading it will say so better
            permissions.require_closed(os.stat(path), path)

    def public(self, name: str) -> str:
        """Return the public half of a key; ``name`` may be the 40 characters themselves."""
        if _looks_like_a_key(name) and not _is_path(name, ".pub"):
            return _require_key(name)
        path = self.public_file(name)
        return _read(path, f"copy {_made_as(path)}.pub there, or give its 40 characters")

    def write(self, name: str, public: str, secret: str) -> None:
        """Write a new key; raise ``ConfigError`` where one of that name is already here."""
        require_name(name)
        make_directory(self.path)
        _require_absent(self.public_file(name))
        _write(self.secret_file(name), secret, 0o600)
        _write(self.public_file(name), public, 0o644)


def _is_path(name: str, end: str) -> bool:
    return os.sep in name and name.endswith(end)


def _made_as(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _accept(found: os.stat_result, path: str) -> None:
    """A public half may lie anywhere and belong to anybody."""


def _read(path: str, remedy: str, require: _Requirement = _accept) -> str:
    try:
        with open(path, encoding="ascii") as file:
            require(os.fstat(file.fileno()), path)
            text = file.read(256).strip()
    except UnicodeDecodeError:
        text = ""
    except FileNotFoundError as error:
        raise ConfigError(f"there is no key {path}; {remedy}") from error
    except OSError as error:
        raise ConfigError(
            f"cannot read {path}: {error.strerror}; give it to the user that runs this"
        ) from error
    if not is_public_key(text):
        raise ConfigError(f"{path} holds no key, which is 40 characters of Z85; {remedy}")
    return text


def _write(path: str, key: str, mode: int) -> None:
    try:
        write_new(path, f"{key}\n", mode)
    except FileExistsError:
        _require_absent(path)
        raise


def _require_absent(path: str) -> None:
    if os.path.lexists(path):
        raise ConfigError(
            f"{path} exists, and a key is never overwritten; choose another name, or move it away"
        )


# Names -----------------------------------------------------------------------------------


def require_name(name: str) -> str:
    """Return ``name`` if a key may be called so; raise ``ConfigError`` if not."""
    if not _is_name(name):
        raise ConfigError(
            "a key's name has 1 to 32 letters, digits, dots, dashes and underscores, and begins "
            f"with a letter or digit; {shown(name)} is none"
        )
    return name


def _is_name(name: str) -> bool:
    return re.fullmatch(_NAME, name) is not None


def shown(name: str) -> str:
    """Quote a name that somebody gave, unless it may be a secret given by mistake."""
    return "what was given" if _looks_like_a_key(name) else repr(name[:64])


# Z85 -------------------------------------------------------------------------------------


def is_public_key(text: str) -> bool:
    """Say whether ``text`` is a key in Z85: five characters for each four bytes."""
    return _looks_like_a_key(text) and all(
        _number(text[at : at + 5]) < 1 << 32 for at in range(0, _KEY_LENGTH, 5)
    )


def _looks_like_a_key(text: str) -> bool:
    return len(text) == _KEY_LENGTH and all(digit in _VALUES for digit in text)


def _number(digits: str) -> int:
    value = 0
    for digit in digits:
        value = value * len(_DIGITS) + _VALUES[digit]
    return value


def _require_key(text: str) -> str:
    if not is_public_key(text):
        raise ConfigError(
            "what was given has the 40 characters of a key, and does not decode as Z85; copy it "
            "once more from its .pub file"
        )
    return text
