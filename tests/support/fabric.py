"""A broker and workers as real processes, on ports of their own, for end-to-end tests.

::

    with Fabric() as fabric:
        fabric.start_worker(processes=2, threads=1, agents="probe")
        assert ask(fabric.frontend, {"method": "probe.quick"})["success"] == 0
        fabric.kill_broker()

Leaving the block ends everything and fails if a process is left: each one that is started
here, and whatever it starts, carries a mark of this fabric in its environment.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import psutil

from tests.support.req import Silence, ask

ROOT = Path(__file__).resolve().parents[2]
#: Agents for tests, made known to every process that a fabric starts.
AGENTS = Path(__file__).resolve().parent / "agents"
#: Seconds for something to happen that takes a second or two on an idle machine.
PATIENCE = 30.0
DOORS = ("frontend", "backend", "plain", "admin")
#: Below the ports that the kernel gives to outgoing connections: a broker that is away
#: finds its ports free when it comes back.
_PORTS = range(20_000, 32_000)
_MARK = "FABRIC_OF_TEST"
#: What ``vpoller`` is here.
_PROGRAM = ("-m", "vpoller_like.cli")


class NotInTime(AssertionError):
    """Something was waited for in vain."""


def eventually(
    holds: Callable[[], Any], what: str, timeout: float = PATIENCE, every: float = 0.02
) -> Any:
    """Return the first true value of ``holds()``; raise ``NotInTime`` after ``timeout`` s."""
    deadline = time.monotonic() + timeout
    while not (value := holds()):
        if time.monotonic() > deadline:
            raise NotInTime(f"not within {timeout:g} s: {what}")
        time.sleep(every)
    return value


class Running:
    """One ``vpoller`` process that a fabric started; what it says is kept in ``log``.

    ``enter`` are the words of a command that runs another one in some other place; ``more``
    are the program's options to say more.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[str],
        env: Mapping[str, str],
        place: Path,
        program: Sequence[str] = _PROGRAM,
        enter: Sequence[str] = (),
        more: Sequence[str] = ("-v",),
    ):
        self.name = name
        self.log = place / f"{name}.log"
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                [*enter, sys.executable, *program, *more, *arguments],
                env=env,
                cwd=place,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    @property
    def pid(self) -> int:
        """Return its process id."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """Return its exit code; ``None`` while it runs."""
        return self._process.poll()

    def children(self) -> list[int]:
        """Return the ids of its children and theirs."""
        try:
            return [child.pid for child in psutil.Process(self.pid).children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Return its exit code once it has ended; raise ``NotInTime``."""
        try:
            return self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise NotInTime(f"{self.name} has not ended within {timeout:g} s") from None

    def kill(self) -> None:
        """End it by SIGKILL and wait until it is gone."""
        self.send(signal.SIGKILL)
        self.wait()

    def end(self, patience: float = 10.0) -> bool:
        """Tell it to drain, then to stop, then kill it, ``patience`` s after one another.

        Return whether telling was enough.
        """
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGKILL):
            if self.exit_code is not None:
                return True
            self.send(number)
            with contextlib.suppress(NotInTime):
                self.wait(patience)
        return False


def logs_in(place: Path) -> str:
    """Return what all processes have said that were started in ``place``."""
    texts = (
        f"--- {path.stem}\n{path.read_text(errors='replace')}"
        for path in sorted(place.glob("*.log"))
    )
    return "".join(texts)


def no_settings() -> dict[str, str]:
    """Return this process's environment without settings of vpoller's.

    ``VPOLLER_PURE`` is none: what the tests start reads and writes messages as they do.
    """
    kept = "VPOLLER_PURE"
    return {k: v for k, v in os.environ.items() if not k.startswith("VPOLLER_") or k == kept}


class Fabric:
    """One broker, started at once, and any number of worker supervisors.

    ``broker`` are settings of section ``[broker]``, such as ``{"grace_ms": 100}``;
    ``agents`` are further directories with agents to put on PYTHONPATH, ``env`` is more of
    the processes' environment. ``broker_program`` takes the place of ``-m vpoller_like.cli``.
    """

    def __init__(
        self,
        broker: Mapping[str, object] | None = None,
        agents: Sequence[Path] = (),
        *,
        env: Mapping[str, str] | None = None,
        broker_program: Sequence[str] = (),
    ) -> None:
        self._mark = uuid.uuid4().hex
        self._place = tempfile.TemporaryDirectory(prefix="fabric-")
        self.place = Path(self._place.name)
        self._env = self._environment(agents) | dict(env or {})
        self._program = broker_program or _PROGRAM
        self._settings = {f"VPOLLER_BROKER_{k.upper()}": str(v) for k, v in (broker or {}).items()}
        self._broker: Running | None = None
        self._supervisors: list[Running] = []
        self._endpoints: dict[str, str] = {}
        try:
            self._first_start()
        except BaseException:
            self._end_all(verify=False)
            raise

    # Where everything is ---------------------------------------------------------------

    @property
    def frontend(self) -> str:
        """Return where clients ask."""
        return self._endpoints["frontend"]

    @property
    def backend(self) -> str:
        """Return where workers register."""
        return self._endpoints["backend"]

    @property
    def plain(self) -> str:
        """Return where plain REP workers connect."""
        return self._endpoints["plain"]

    @property
    def admin(self) -> str:
        """Return where operators ask."""
        return self._endpoints["admin"]

    @property
    def env(self) -> dict[str, str]:
        """Return the environment of this fabric's processes, for more of them."""
        return dict(self._env)

    # The broker ------------------------------------------------------------------------

    @property
    def broker(self) -> Running:
        """Return the broker's process, the last one that was started."""
        assert self._broker is not None
        return self._broker

    @property
    def broker_pid(self) -> int:
        """Return the broker's process id."""
        return self.broker.pid

    def kill_broker(self) -> None:
        """SIGKILL the broker and wait until it is gone."""
        self.broker.kill()

    def restart_broker(self) -> None:
        """Kill the broker if it runs, and start another one at the same endpoints."""
        if self.broker.exit_code is None:
            self.kill_broker()
        self.start_broker()

    def start_broker(self) -> None:
        """Start a broker at this fabric's endpoints and wait until it answers."""
        self.launch_broker()
        self._await_broker()

    def _first_start(self) -> None:
        # Somebody else may take one of the ports between our look and the broker's bind.
        for _ in range(5):
            self._endpoints = dict(zip(DOORS, free_endpoints(len(DOORS)), strict=True))
            self.launch_broker()
            with contextlib.suppress(ChildProcessError):
                self._await_broker()
                return
        raise NotInTime(f"no broker could be started:\n{self.logs()}")

    def launch_broker(self) -> None:
        """Start a broker at this fabric's endpoints; it need not be ready when this returns."""
        options = [word for door in DOORS for word in (f"--{door}", self._endpoints[door])]
        env = {**self._env, **self._settings}
        arguments = ["broker", "run", *options]
        self._broker = Running("broker", arguments, env, self.place, self._program)

    def _await_broker(self) -> None:
        def answers() -> bool:
            if self.broker.exit_code is not None:
                raise ChildProcessError(f"the broker ended: {self.logs()}")
            try:
                return bool(self.status(timeout=1.0)["pid"] == self.broker_pid)
            except Silence:
                return False

        eventually(answers, "the broker answers at its admin endpoint")

    # Workers ---------------------------------------------------------------------------

    def start_worker(
        self,
        processes: int = 1,
        threads: int = 1,
        agents: str = "probe",
        *,
        backends: Sequence[str] = (),
        name: str = "",
        settings: Mapping[str, object] | None = None,
        wait: bool = True,
    ) -> Running:
        """Start a supervisor and ``wait`` until all its processes are registered here.

        ``backends`` are this fabric's own unless given; ``agents`` are names, with commas;
        ``settings`` are more of section ``[worker]``.
        """
        number = len(self._supervisors) + 1
        options = {"agents": agents, "processes": processes, "threads": threads}
        arguments = ["worker", "run"]
        for backend in backends or (self.backend,):
            arguments += ["--backend", backend]
        for option, value in options.items():
            arguments += [f"--{option}", str(value)]
        arguments += ["--name", name or f"worker-{number}"]
        env = {f"VPOLLER_WORKER_{k.upper()}": str(v) for k, v in (settings or {}).items()}
        supervisor = Running(f"worker-{number}", arguments, self._env | env, self.place)
        self._supervisors.append(supervisor)
        if wait:
            self._await(supervisor, processes)
        return supervisor

    def _await(self, supervisor: Running, processes: int) -> None:
        def registered() -> bool:
            if supervisor.exit_code is not None:
                raise ChildProcessError(f"the worker ended:\n{self.logs()}")
            return len(self.pids_of(supervisor)) >= processes

        eventually(registered, f"{processes} processes of {supervisor.name} are registered")

    def pids_of(self, supervisor: Running) -> set[int]:
        """Return the process ids under ``supervisor`` that are registered at the broker."""
        children = {supervisor.pid, *supervisor.children()}
        return {worker["pid"] for worker in self.workers() if worker["pid"] in children}

    # What the broker says --------------------------------------------------------------

    def look(self, verb: str, timeout: float = PATIENCE, **fields: Any) -> Any:
        """Ask the admin endpoint and return the result."""
        reply = ask(self.admin, {"method": verb, **fields}, timeout)
        assert reply["success"] == 0, reply
        return reply["result"]

    def status(self, timeout: float = PATIENCE) -> dict[str, Any]:
        """Return the broker's status."""
        status: dict[str, Any] = self.look("status", timeout)
        return status

    def workers(self) -> list[dict[str, Any]]:
        """Return what the broker knows of its workers."""
        workers: list[dict[str, Any]] = self.look("workers")
        return workers

    def worker_pids(self) -> set[int]:
        """Return the process ids of all registered workers."""
        return {worker["pid"] for worker in self.workers()}

    def methods(self) -> set[str]:
        """Return the names of the methods that are served."""
        return {entry["method"] for entry in self.look("methods")}

    # The end ---------------------------------------------------------------------------

    def left(self) -> list[psutil.Process]:
        """Return the processes of this fabric that live."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def logs(self) -> str:
        """Return what all processes have said."""
        return logs_in(self.place)

    def close(self) -> None:
        """End everything; raise ``AssertionError`` if a process did not go when told to."""
        self._end_all(verify=True)

    def _end_all(self, verify: bool) -> None:
        try:
            # The workers first: what they run can still be answered then.
            started = (*self._supervisors, *([self._broker] if self._broker else []))
            stubborn = [running.name for running in started if not running.end()]
            if verify:
                assert not stubborn, f"SIGTERM did not end {stubborn}:\n{self.logs()}"
                self._require_none_left()
        finally:
            self._kill_left()
            self._place.cleanup()

    def _require_none_left(self) -> None:
        try:
            eventually(lambda: not self.left(), "every process has ended", timeout=10.0)
        except NotInTime:
            left = [f"{process.pid}: {_command(process)}" for process in self.left()]
            raise AssertionError(f"processes are left: {left}\n{self.logs()}") from None

    def _kill_left(self) -> None:
        for process in self.left():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            ended = process.status() == psutil.STATUS_ZOMBIE
            return not ended and process.environ().get(_MARK) == self._mark
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False

    def _environment(self, agents: Sequence[Path]) -> dict[str, str]:
        env = no_settings()
        path = [str(part) for part in (ROOT, AGENTS, *agents, env.get("PYTHONPATH", "")) if part]
        return env | {
            _MARK: self._mark,
            "PYTHONPATH": os.pathsep.join(path),
            "XDG_CONFIG_HOME": str(self.place),
        }

    def __enter__(self) -> Fabric:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            # pytest shows it with the failure.
            print(self.logs(), file=sys.stderr)
        self._end_all(verify=error is None)


def free_endpoints(count: int) -> list[str]:
    """Return ``count`` different endpoints on this machine whose ports are free now."""
    ports = random.sample(_PORTS, 50 + count)
    return [f"tcp://127.0.0.1:{port}" for port, _ in zip(_free(ports), range(count), strict=False)]


def _free(ports: Sequence[int]) -> Iterator[int]:
    for port in ports:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            yield port


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return "ended meanwhile"
