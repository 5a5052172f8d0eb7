"""The ways from a load to a worker: each a few processes, up for the whole run."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.compiling import Programs
from tests.bench.rows import Workers
from tests.support.fabric import ROOT, Fabric, eventually, free_endpoints

ROLES = Path(__file__).with_name("bench_roles.py")
#: Requests that a load fills in.
BARE = '{"method":"system.echo","data":"@P"}'
META = '{"method":"system.echo","meta":{"id":"@I","age_ms":0,"deadline_ms":20000},"data":"@P"}'
#: What the ratios are to: ``zmq.proxy`` and REP workers as lean as can be.
BASE = "zmq.proxy"
#: The same with REP workers in Python as most are written. What is wanted is wanted beside these.
USUAL = "zmq.proxy, usual"
DIRECT = "direct"
OURS_C, OURS_PURE = "ours, C", "ours, pure"
OURS = {"c": OURS_C, "pure": OURS_PURE}
#: Set, it keeps the transport in C from being used.
PURE = "VPOLLER_PURE"
PROCESSES = 2


class Way(NamedTuple):
    """One way, with one kind of workers. The processes of each part are known by their ids."""

    name: str
    workers: Workers
    endpoint: str
    broker_pids: tuple[int, ...]
    worker_pids: tuple[int, ...]
    bare: str = BARE
    meta: str = META
    #: It is known to lose answers: then they are missing, and the run goes on.
    may_lose: bool = False

    @property
    def is_ours(self) -> bool:
        """Whether it is this project's."""
        return self.name in OURS.values()

    @property
    def is_pure(self) -> bool:
        """Whether it must do without the transport in C."""
        return self.name == OURS_PURE


@contextlib.contextmanager
def processes(
    commands: Sequence[Sequence[str]], env: Mapping[str, str] | None = None, quiet: bool = False
) -> Iterator[list[int]]:
    """Run ``commands`` side by side; yield their process ids. All that they start ends too."""
    with contextlib.ExitStack() as stack:
        children = []
        for command in commands:
            children.append(_start(command, env, quiet))
            stack.callback(_end, children[-1])
        yield [child.pid for child in children]


def _start(
    command: Sequence[str], env: Mapping[str, str] | None, quiet: bool
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL if quiet else None,
        start_new_session=True,
    )


def _end(child: subprocess.Popen[bytes]) -> None:
    _signal(child, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(3)
    _signal(child, signal.SIGKILL)
    child.wait()


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _role(*words: str) -> list[str]:
    return [sys.executable, str(ROLES), *words]


def _echo(workers: Workers, programs: Programs | None, how: str, endpoint: str) -> list[str]:
    if workers == "c":
        assert programs is not None
        return [str(programs.rep), how, endpoint]
    return _role(how, endpoint)


@contextlib.contextmanager
def proxied(workers: Workers, programs: Programs | None, name: str = BASE) -> Iterator[Way]:
    """``zmq.proxy`` between the load and two REP workers."""
    front, back = free_endpoints(2)
    echo = _echo(workers, programs, "usual" if name == USUAL else "connect", back)
    with processes([_role("proxy", front, back), *[echo] * PROCESSES]) as (proxy, *others):
        yield Way(name, workers, front, (proxy,), tuple(others))


@contextlib.contextmanager
def direct(workers: Workers, programs: Programs | None) -> Iterator[Way]:
    """One REP worker that the load connects to, and nothing between."""
    (front,) = free_endpoints(1)
    with processes([_echo(workers, programs, "bind", front)]) as pids:
        yield Way(DIRECT, workers, front, (), tuple(pids))


def transports(asked: str) -> dict[str, dict[str, str]]:
    """Return the environment of each transport that is ``asked`` for and there."""
    found: dict[str, dict[str, str]] = {_kind(): {}}
    if "c" in found:
        found["pure"] = {PURE: "1"}
    return {kind: env for kind, env in found.items() if asked in (kind, "both")}


def _kind() -> str:
    code = "from vpoller_like.transport.burst import KIND; print(KIND)"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    return done.stdout.strip() or "pure"


@contextlib.contextmanager
def ours(
    name: str,
    workers: Workers,
    programs: Programs | None,
    env: Mapping[str, str],
    broker_program: Sequence[str] = (),
) -> Iterator[Way]:
    """Our broker with two worker processes, ours or the ones in C."""
    with contextlib.ExitStack() as stack:
        fabric = stack.enter_context(Fabric(env=env, broker_program=broker_program))
        if workers == "python":
            fabric.start_worker(processes=PROCESSES, threads=1, agents="system")
        else:
            assert programs is not None
            command = [str(programs.worker), fabric.backend]
            stack.enter_context(processes([[*command, f"c{n}"] for n in range(PROCESSES)]))
        eventually(lambda: len(fabric.worker_pids()) >= PROCESSES, "the workers are registered")
        pids = tuple(fabric.worker_pids())
        yield Way(name, workers, fabric.frontend, (fabric.broker_pid,), pids)
