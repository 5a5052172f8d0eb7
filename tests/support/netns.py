"""Network namespaces joined by cables that can be cut. Needs root and iproute2.

::

    with Network() as network:
        near, far = network.namespace("near"), network.namespace("far")
        cable = network.cable(near, far)
        subprocess.run([*far.enter, "ping", cable.near])
        cable.cut()
        cable.mend()

Leaving the block removes everything, and ends the processes that still run in there.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import Sequence
from typing import NamedTuple

from tests.support.tools import missing, require_tool


class Namespace(NamedTuple):
    """A network of its own, with a loopback."""

    name: str

    @property
    def enter(self) -> list[str]:
        """Return the words to put before a command, so that it runs in here."""
        return ["ip", "netns", "exec", self.name]


class Cable(NamedTuple):
    """Two interfaces that are joined; ``near`` and ``far`` are their addresses."""

    near: str
    far: str
    far_end: Namespace
    device: str

    def cut(self) -> None:
        """Take the far end down: for the near one there is silence, and no error."""
        self._set("down")

    def mend(self) -> None:
        """Take the far end up again."""
        self._set("up")

    def _set(self, state: str) -> None:
        _ip("-n", self.far_end.name, "link", "set", self.device, state)


class Network:
    """Skips the test where namespaces cannot be made; where ``CI=true`` that fails it."""

    def __init__(self) -> None:
        require_tool("ip", "iproute2")
        self._mark = uuid.uuid4().hex[:6]
        self._namespaces: list[Namespace] = []
        self._cables = 0

    def namespace(self, name: str) -> Namespace:
        """Make a namespace."""
        made = Namespace(f"test-{self._mark}-{name}")
        try:
            _ip("netns", "add", made.name)
        except subprocess.CalledProcessError as error:
            missing(f"no network namespace can be made; run as root: {error.stderr.strip()}")
        self._namespaces.append(made)
        _ip("-n", made.name, "link", "set", "lo", "up")
        return made

    def cable(self, near: Namespace, far: Namespace) -> Cable:
        """Join two namespaces, with addresses that only these two know."""
        self._cables += 1
        number = self._cables
        # Made in their namespaces, so that nothing of it is ever seen in the machine's own.
        device = f"cable{number}"
        peer = ("peer", "name", device, "netns", far.name)
        _ip("-n", near.name, "link", "add", device, "type", "veth", *peer)
        addresses = f"10.99.{number}.1", f"10.99.{number}.2"
        for end, address in zip((near, far), addresses, strict=True):
            _ip("-n", end.name, "address", "add", f"{address}/24", "dev", device)
            _ip("-n", end.name, "link", "set", device, "up")
        return Cable(*addresses, far, device)

    def close(self) -> None:
        """Remove everything."""
        for namespace in self._namespaces:
            for pid in _processes(namespace):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            _ip("netns", "delete", namespace.name)
        self._namespaces.clear()

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _processes(namespace: Namespace) -> Sequence[int]:
    return [int(word) for word in _ip("netns", "pids", namespace.name).split()]


def _ip(*words: str) -> str:
    done = subprocess.run(["ip", *words], capture_output=True, text=True, check=True, timeout=30)
    return done.stdout
