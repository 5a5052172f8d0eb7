"""Where a password comes from. It is read anew for each login, so it can be changed."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

from vpoller_like.agent import hide_from_now_on
from vpoller_like.errors import ConfigError
from workers.vsphere import output
from workers.vsphere.hosts import private

Password = Callable[[], str]

#: Seconds that a command may take to print a password, and the bytes that one may have.
COMMAND_SECONDS = 10.0
_LONGEST = 4096


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
        return _hidden(value)

    return read


def from_file(path: str) -> Password:
    """Return a source that reads the file ``path``, without the newline at its end.

    It raises ``ConfigError`` where the file cannot be read, is empty, has several lines
    or an endless one, or can be read by others than its owner.
    """

    def read() -> str:
        text = _line(private.read_text(path, "password_file"))
        if not text:
            raise ConfigError(f"password_file: {path} is empty; write the password into it")
        if "\n" in text or len(text) > _LONGEST:
            raise ConfigError(
                f"password_file: {path} holds more than one line of up to {_LONGEST} characters; "
                "write the password alone into it"
            )
        return _hidden(text)

    return read


def from_command(command: Sequence[str], seconds: float = COMMAND_SECONDS) -> Password:
    """Return a source that runs ``command``, without a shell, and takes what it prints.

    The newline at the end is left out; stdin is empty. The source raises ``ConfigError``
    where the command cannot be run, fails, prints nothing or several lines, or takes more
    than ``seconds``.
    """
    program = command[0]

    def read() -> str:
        text = _line(_printed(command, seconds))
        if not text:
            raise _unusable(program, "printed nothing")
        if "\n" in text:
            raise _unusable(program, "printed several lines, and not the password alone")
        return _hidden(text)

    return read


def _printed(command: Sequence[str], seconds: float) -> str:
    program = command[0]
    try:
        status, data = output.of_command(command, seconds, _LONGEST)
    except TimeoutError:
        raise _unusable(program, f"did not end within {seconds:g} s") from None
    except output.TooMuch:
        raise _unusable(program, f"printed more than {_LONGEST} bytes") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no name of a program"
        raise ConfigError(
            f"password_command: {program} cannot be run: {reason}; give its path"
        ) from None
    if status:
        raise _unusable(program, f"ended with status {status}")
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise _unusable(program, "printed what is not UTF-8 text") from None


def _unusable(program: str, fault: str) -> ConfigError:
    # What it printed is not told: it may be the password, or a part of it.
    return ConfigError(
        f"password_command: {program} {fault}; run it as the worker's user to see why"
    )


def _line(text: str) -> str:
    return text.removesuffix("\n").removesuffix("\r")


def _hidden(password: str) -> str:
    """Keep a password that came from outside out of all logs, as the configured ones are."""
    hide_from_now_on(password)
    return password
