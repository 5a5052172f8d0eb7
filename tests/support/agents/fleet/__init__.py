"""An agent whose hosts are kept in a file, and may change while a worker runs.

The file's lines are a host's name and, after a blank, its variant. Where it says ``wrong`` its
settings are.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Hashable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self

import msgspec

from vpoller_like.agent import Agent, Params, settings, task
from vpoller_like.errors import ConfigError

#: Seconds that a host takes to be torn down whose variant is ``lingers``.
LINGERS = 1.5


class Settings(msgspec.Struct):
    """Where the hosts are, and where to leave a line for each that is set up or torn down."""

    hosts: str
    diary: str = os.devnull


class Wait(Params, frozen=True):
    """How long to take, in seconds, and a file to leave a mark in before that.

    With ``until`` it takes until there is that file.
    """

    seconds: float = 0.0
    mark: str = os.devnull
    until: str = "/"


class FleetAgent(Agent):
    """Stands for one host, which may be slow."""

    name = "fleet"

    def __init__(self, host: str, variant: str, diary: str) -> None:
        self._host = host
        self.hostnames = [host]
        self.variant = variant
        self._diary = Path(diary)

    @classmethod
    def from_config(cls, section: Mapping[str, Any]) -> Iterable[Self]:
        config = settings.read(Settings, section, "agents.fleet")
        for line in Path(config.hosts).read_text().splitlines():
            host, _, variant = line.partition(" ")
            if host == "wrong":
                raise ConfigError(f"agents.fleet: {variant} is wrong")
            yield cls(host, variant, config.diary)

    @classmethod
    def revision(cls, section: Mapping[str, Any]) -> Hashable:
        return Path(settings.read(Settings, section, "agents.fleet").hosts).read_bytes()

    def setup(self) -> None:
        if self.variant == "broken":
            raise OSError("no route")
        self._note("setup")

    def teardown(self) -> None:
        if self.variant == "lingers":
            time.sleep(LINGERS)
        self._note("teardown")

    @task("fleet.who", retry_safe=True)
    def who(self, msg: Wait) -> list[object]:
        """Return the host, its variant and the process, after a while."""
        _wait(msg)
        return [self._host, self.variant, os.getpid()]

    @task("fleet.once")
    def once(self, msg: Wait) -> list[object]:
        """Do the same; not to be done twice."""
        _wait(msg)
        return [self._host, self.variant, os.getpid()]

    @task("fleet.stuck", timeout=1.0)
    def stuck(self, msg: dict[str, Any]) -> None:  # noqa: ARG002
        """Never return."""
        threading.Event().wait()

    def _note(self, what: str) -> None:
        with self._diary.open("a") as diary:
            diary.write(f"{what} {self._host} {self.variant}\n")


def _wait(msg: Wait) -> None:
    with open(msg.mark, "a") as file:
        file.write("|")
    time.sleep(msg.seconds)
    while not Path(msg.until).exists():
        time.sleep(0.01)
