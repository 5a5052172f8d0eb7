"""An agent that cannot keep a secret: it blurts out what it is given in every way it finds."""

from __future__ import annotations

import base64
import itertools
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, Self
from urllib.parse import quote_plus

import msgspec

from vpoller_like.agent import Agent, Params, Secret, settings, task
from vpoller_like.errors import InvalidParams, TaskFailed

#: As of a library that the agent uses.
log = logging.getLogger("chatty.library")


class Login(Params, frozen=True):
    """A password, and ``how`` it gets out."""

    password: Secret[str]
    how: str = "answer"
    kind: Secret[Literal["plain"]] = "plain"
    seconds: float = 0.0


class Config(msgspec.Struct):
    """``pin`` is secret because it is marked so, ``password`` because of its name, too."""

    password: Secret[str]
    pin: Secret[str]
    fail: str = ""


class Opaque:
    """What JSON does not know."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return f"Opaque({self.text!r})"


class KeeperAgent(Agent):
    """Answers with the password's length, or blurts it out."""

    name = "keeper"

    def __init__(self, config: Config) -> None:
        self._config = config

    @classmethod
    def from_config(cls, section: Mapping[str, Any]) -> Iterable[Self]:
        config = settings.read(Config, section, "agents.keeper")
        if config.fail == "from_config":
            raise ValueError(f"{config.password} and {config.pin!r} are wrong")
        yield cls(config)

    def setup(self) -> None:
        log.debug("connecting as root:%s", self._config.password)
        if self._config.fail == "setup":
            raise ConnectionError(f"{self._config.password} and {self._config.pin!r} are refused")

    def teardown(self) -> None:
        raise RuntimeError(f"cannot log out with {self._config.password}")

    @task("keeper.login", retry_safe=False, timeout=30.0)
    def login(self, msg: Login) -> Any:
        """Take a password."""
        return WAYS[msg.how](msg.password, msg)

    @task("keeper.loose")
    def loose(self, msg: dict[str, Any]) -> None:
        """Take anything, and take it apart."""
        taken = msg.pop("password", None) or msg.pop("auth")
        raise ValueError(f"{taken} does not fit")


def _raise(password: str, _: Login) -> None:
    raise ValueError(f"cannot log in with {password}, that is {password!r}")


def _chain(password: str, msg: Login) -> None:
    local = {"password": password}
    try:
        _raise(password, msg)
    except ValueError as error:
        error.add_note(f"tried {local}")
        raise RuntimeError(f"all failed: {error.args}") from error


def _group(password: str, _: Login) -> None:
    raise ExceptionGroup("several", [ValueError(password), KeyError(password)])


def _forms(password: str, _: Login) -> None:
    body = json.dumps({"password": password})
    forms = [
        body,
        repr(body),
        json.dumps(body),
        repr(password.encode()),
        quote_plus(password),
        base64.b64encode(password.encode()).decode(),
        ascii(password),
        f"""a "quoted" and 'quoted' {password}""",
    ]
    raise OSError(f"the server said {forms} {' '.join(forms)}")


def _refuse(password: str, _: Login) -> None:
    raise TaskFailed(f"{password} is wrong", tried=[password, {"and": repr(password)}])


def _invalid(password: str, _: Login) -> None:
    raise InvalidParams(f"password: {password!r} is too weak", field="password", got=password)


def _log(password: str, msg: Login) -> str:
    log.debug("POST /login %r", {"password": password})
    log.warning("weak: %s", password)
    try:
        _raise(password, msg)
    except ValueError:
        log.exception("never mind")
    return "logged"


def _thread(password: str, msg: Login) -> str:
    thread = threading.Thread(target=_raise, args=(password, msg))
    thread.start()
    thread.join()
    return "a thread died"


def _exit(password: str, _: Login) -> None:
    sys.exit(f"bye {password}")


def _kill(_: str, __: Login) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _stick(password: str, _: Login) -> None:
    local = [password]
    sum(itertools.repeat(len(local), 10**11))


def _wait(_: str, msg: Login) -> str:
    time.sleep(msg.seconds)
    return "waited"


WAYS: dict[str, Callable[[str, Login], Any]] = {
    "answer": lambda password, _: len(password),
    "echo": lambda password, _: password,
    "opaque": lambda password, _: {"inner": Opaque(password)},
    "raise": _raise,
    "chain": _chain,
    "group": _group,
    "forms": _forms,
    "refuse": _refuse,
    "invalid": _invalid,
    "log": _log,
    "thread": _thread,
    "exit": _exit,
    "kill": _kill,
    "stick": _stick,
    "wait": _wait,
}
