"""Where a password comes from. It is read anew for each login, so it can be changed."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

from vpoller_like.errors import ConfigError

Password = Callable[[], str]


def from_text(text: str) -> Password:
    """Return a source of the password ``text``."""
    return lambda: text


def from_environment(name: str) -> Password:
    """Return a source that reads the environment variable ``name``.

    It raises ``ConfigError`` where the variable is unset or empty.
    """

    def read() -> str:
        value = os.environ.get(name, "")
        if not value:
            raise ConfigError(f"password_env: the environment variable {name} is not set; set it")
        return value

    return read


def from_file(path: str) -> Password:
    """Return a source that reads the file ``path``, without the newline at its end.

    It raises ``ConfigError`` where the file cannot be read, is empty, or can be read by
    others than its owner.
    """

    def read() -> str:
        text = _private_text(path).removesuffix("\n").removesuffix("\r")
        if not text:
            raise ConfigError(f"password_file: {path} is empty; write the password into it")
        return text

    return read


def _private_text(path: str) -> str:
    try:
        with Path(path).expanduser().open(encoding="utf-8") as file:
            _check_mode(path, os.fstat(file.fileno()).st_mode)
            return file.read()
    except OSError as error:
        raise ConfigError(f"password_file: {path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        raise ConfigError(f"password_file: {path} is not UTF-8 text; write it anew") from None


def _check_mode(path: str, mode: int) -> None:
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(
            f"password_file: {path} is open to others (mode {stat.S_IMODE(mode):04o}); "
            f"chmod 600 {path}"
        )
