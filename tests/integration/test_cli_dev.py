"""``vpoller dev``: both processes from one command, and nothing left of them."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.fabric import DOORS, ROOT, eventually, free_endpoints
from tests.support.req import ask


class Dev:
    """One ``vpoller dev`` on ports of its own, in a session of its own."""

    def __init__(self, place: Path, endpoints: dict[str, str], stdin: int | None = None) -> None:
        self.endpoints = endpoints
        self.log = place / "dev.log"
        options = [word for door in DOORS for word in (f"--{door}", endpoints[door])]
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [
                    *(sys.executable, "-m", "vpoller_like.cli", "dev"),
                    *("--processes", "2", "--agents", "system"),
                    *options,
                ],
                cwd=place,
                env=_environment(place),
                stdin=subprocess.DEVNULL if stdin is None else stdin,
                stdout=log,
                stderr=log,
                start_new_session=True,
                # With a terminal for stdin: make it the session's, so that Ctrl-C arrives.
                preexec_fn=None if stdin is None else _take_terminal,
            )
        self.family: set[int] = set()

    def await_ready(self) -> None:
        def ready() -> bool:
            assert self.process.poll() is None, self.said
            return "Ready: " in self.said

        eventually(ready, "vpoller dev is ready")
        children = psutil.Process(self.process.pid).children(recursive=True)
        self.family = {self.process.pid, *(child.pid for child in children)}

    @property
    def said(self) -> str:
        return self.log.read_text()

    def living(self) -> set[int]:
        """Return the processes of its session that live."""
        return {process.pid for process in psutil.process_iter() if self._is_ours(process)}

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return (
                os.getsid(process.pid) == self.process.pid
                and process.status() != psutil.STATUS_ZOMBIE
            )
        except (ProcessLookupError, psutil.NoSuchProcess):
            return False

    def close(self) -> None:
        for pid in self.living():
            # The first one's death ends the others.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait(30)


def _take_terminal() -> None:
    import fcntl
    import termios

    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def _environment(place: Path) -> dict[str, str]:
    own = {name: os.environ[name] for name in os.environ if not name.startswith("VPOLLER_")}
    return own | {"PYTHONPATH": str(ROOT), "XDG_CONFIG_HOME": str(place)}


@pytest.fixture
def endpoints() -> dict[str, str]:
    return dict(zip(DOORS, free_endpoints(len(DOORS)), strict=True))


@pytest.fixture
def dev(tmp_path: Path, endpoints: dict[str, str]) -> Iterator[Dev]:
    started = Dev(tmp_path, endpoints)
    try:
        started.await_ready()
        yield started
    finally:
        started.close()


def _assert_nothing_left(dev: Dev) -> None:
    eventually(lambda: not dev.living(), "every process of it has ended")
    for endpoint in dev.endpoints.values():
        host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
        with socket.socket() as probe:
            assert probe.connect_ex((host, int(port))) != 0, f"{endpoint} is still served"


def test_dev_serves_and_says_how_to_ask(dev: Dev) -> None:
    reply = ask(dev.endpoints["frontend"], {"method": "system.echo", "data": 1})
    assert reply["result"] == 1
    assert f"vpoller call system.status --endpoint {dev.endpoints['frontend']}\n" in dev.said
    assert f"vpoller methods --admin {dev.endpoints['admin']}\n" in dev.said


def test_all_of_dev_is_one_process_group(dev: Dev) -> None:
    # Itself, the broker, the supervisor and two worker processes at the least.
    assert len(dev.family) >= 5
    assert {os.getpgid(pid) for pid in dev.family} == {dev.process.pid}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("whole_group", [False, True])
def test_a_signal_ends_everything(dev: Dev, number: signal.Signals, whole_group: bool) -> None:
    (os.killpg if whole_group else os.kill)(dev.process.pid, number)
    assert dev.process.wait(30) == 0, dev.said
    _assert_nothing_left(dev)
    assert "Traceback" not in dev.said


def test_ctrl_c_lets_a_running_task_finish(tmp_path: Path, endpoints: dict[str, str]) -> None:
    """The terminal signals all of them at once; dev must not take that for a second signal."""
    terminal, end = pty.openpty()
    dev = Dev(tmp_path, endpoints, stdin=end)
    try:
        dev.await_ready()
        client = subprocess.Popen(
            [
                *(sys.executable, "-m", "vpoller_like.cli", "call", "system.sleep", "seconds:=2"),
                *("--endpoint", endpoints["frontend"], "--timeout", "20000", "--retries", "1"),
            ],
            env=_environment(tmp_path),
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        eventually(lambda: _running(endpoints), "the task runs")
        os.write(terminal, b"\x03")
        assert client.wait(30) == 0
        assert dev.process.wait(30) == 0, dev.said
        _assert_nothing_left(dev)
    finally:
        dev.close()
        os.close(terminal)
        os.close(end)


def _running(endpoints: dict[str, str]) -> bool:
    return bool(ask(endpoints["admin"], {"method": "status"})["result"]["running"])


def test_nothing_outlives_a_dev_that_is_killed(dev: Dev) -> None:
    dev.process.kill()
    dev.process.wait(30)
    _assert_nothing_left(dev)


def test_when_one_of_them_dies_the_other_is_ended(dev: Dev) -> None:
    broker = ask(dev.endpoints["admin"], {"method": "status"})["result"]["pid"]
    os.kill(broker, signal.SIGKILL)
    assert dev.process.wait(30) == 1
    assert "Error: the broker ended with exit code -9" in dev.said
    _assert_nothing_left(dev)


def test_a_second_dev_says_that_the_addresses_are_taken(dev: Dev, tmp_path: Path) -> None:
    place = tmp_path / "second"
    place.mkdir()
    second = Dev(place, dev.endpoints)
    try:
        assert second.process.wait(30) == 1
        assert "in use" in second.said
        assert "Error: the broker ended" in second.said
        assert not second.living()
    finally:
        second.close()
    reply = ask(dev.endpoints["frontend"], {"method": "system.echo", "data": 1})
    assert reply["success"] == 0
