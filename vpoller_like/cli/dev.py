"""``vpoller dev``: a broker and a worker on this machine, until Ctrl-C."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import click

from vpoller_like.cli.admin import ask
from vpoller_like.cli.child import Child
from vpoller_like.cli.doors import door_options
from vpoller_like.cli.exits import Exit
from vpoller_like.cli.output import note
from vpoller_like.cli.session import Session
from vpoller_like.config import BrokerSettings, ClientSettings, Settings

#: Seconds that the broker and the worker have until they serve.
START_LIMIT = 30.0
#: Seconds between looks.
_POLL = 0.1
#: ``si_code`` of a signal that the kernel itself sent, as it does at Ctrl-C: sigaction(2).
_SI_KERNEL = 0x80
_ENDING = (signal.SIGINT, signal.SIGTERM)


class Over(Exception):
    """It is time to end: ``code`` is the exit code, ``text`` says why.

    ``told`` says that the children have the signal already, from the terminal.
    """

    def __init__(self, code: Exit, text: str, told: bool = False) -> None:
        super().__init__(text)
        self.code, self.text, self.told = code, text, told


@click.command("dev")
@door_options
@click.option("--agents", metavar="NAME,NAME", help="The agents to load, by name.")
@click.option("--processes", type=int, metavar="N", help="Worker processes; 0: one for each core.")
@click.option("--threads", type=int, metavar="M", help="Tasks that a process runs at once.")
@click.pass_obj
def command(
    session: Session,
    frontend: str | None,
    backend: str | None,
    plain: str | None,
    admin: str | None,
    agents: str | None,
    processes: int | None,
    threads: int | None,
) -> int:
    """Run a broker and its worker on this machine, to try things, until Ctrl-C."""
    session.start_logging(service=True)
    settings = session.load(
        broker__frontend=frontend,
        broker__backend=backend,
        broker__plain=plain,
        broker__admin=admin,
        worker__agents=agents,
        worker__processes=processes,
        worker__threads=threads,
    ).settings
    return run(session.forwarded(), settings)


def run(global_options: Sequence[str], settings: Settings) -> int:
    """Start both, wait, end both; return the exit code.

    The children are started with ``global_options``, such as ``--config``.
    """
    # Kept for sigtimedwait, so that none of them comes between two steps.
    signal.pthread_sigmask(signal.SIG_BLOCK, (*_ENDING, signal.SIGCHLD))
    children: list[Child] = []
    told = False
    try:
        broker = _start(children, "broker", [*global_options, *broker_arguments(settings.broker)])
        _until(children, lambda: _is_up(settings.broker, broker))
        _start(children, "worker", [*global_options, *worker_arguments(settings)])
        _until(children, lambda: bool(_methods(settings.broker)))
        note(_banner(settings.broker))
        while True:
            _watch(children, timeout=60.0)
    except Over as over:
        note(over.text)
        told = over.told
        return over.code
    finally:
        # The worker first: what it runs can still be answered then.
        for child in reversed(children):
            child.end(told)


def broker_arguments(broker: BrokerSettings) -> list[str]:
    """Return the arguments that make a child the broker of these settings."""
    places = ("frontend", "backend", "plain", "admin")
    options = {place: getattr(broker, place) for place in places}
    return ["broker", "run", *_options(options | {"key": ""})]


def worker_arguments(settings: Settings) -> list[str]:
    """Return the arguments that make a child the worker of this broker, and of no other."""
    options = {
        "backend": connectable(settings.broker.backend),
        "agents": ",".join(settings.worker.agents),
        "processes": settings.worker.processes,
        "threads": settings.worker.threads,
        # Nobody but this machine's programs reaches them, and those have no keys.
        "key": "",
        "server-key": "",
    }
    return ["worker", "run", *_options(options)]


def connectable(endpoint: str) -> str:
    """Return the address at which this machine reaches what is bound to ``endpoint``."""
    for anywhere in ("tcp://*:", "tcp://0.0.0.0:"):
        if endpoint.startswith(anywhere):
            return f"tcp://127.0.0.1:{endpoint.removeprefix(anywhere)}"
    return endpoint


def _options(options: dict[str, Any]) -> list[str]:
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def _start(children: list[Child], name: str, arguments: Sequence[str]) -> Child:
    child = Child(name, arguments)
    children.append(child)
    return child


def _until(children: Sequence[Child], holds: Callable[[], bool]) -> None:
    """Return when ``holds``; raise ``Over`` where that is not to be."""
    deadline = time.monotonic() + START_LIMIT
    while not holds():
        if time.monotonic() > deadline:
            raise Over(
                Exit.FAILED,
                f"Error: not ready after {START_LIMIT:g} s; the log above may say why",
            )
        _watch(children, _POLL)


def _watch(children: Sequence[Child], timeout: float) -> None:
    """Wait ``timeout`` seconds; raise ``Over`` at a signal or a child's end."""
    info = signal.sigtimedwait((*_ENDING, signal.SIGCHLD), timeout)
    for child in children:
        if child.exit_code is not None:
            raise Over(
                Exit.FAILED,
                f"Error: the {child.name} ended with exit code {child.exit_code}; "
                "what it said above is the reason",
            )
    if info is not None and info.si_signo in _ENDING:
        raise Over(Exit.OK, "Ending.", told=info.si_code == _SI_KERNEL)


def _is_up(broker: BrokerSettings, child: Child) -> bool:
    """Say whether our broker answers: another one may hold the address."""
    status = _ask(broker, "status")
    return isinstance(status, dict) and status.get("pid") == child.pid


def _methods(broker: BrokerSettings) -> list[Any]:
    methods = _ask(broker, "methods")
    return methods if isinstance(methods, list) else []


def _ask(broker: BrokerSettings, question: str) -> Any:
    settings = ClientSettings(admin=connectable(broker.admin), timeout=500, retries=1)
    return ask(settings, question).get("result")


def _banner(broker: BrokerSettings) -> str:
    """Say how to ask; with options only where the usual addresses are not used."""
    usual = ClientSettings()
    frontend, admin = connectable(broker.frontend), connectable(broker.admin)
    to_frontend = "" if frontend in usual.endpoints else f" --endpoint {frontend}"
    to_admin = "" if admin == usual.admin else f" --admin {admin}"
    return (
        f"Ready: {len(_methods(broker))} methods are served. In another terminal:\n"
        f"  vpoller call system.status{to_frontend}\n"
        f"  vpoller methods{to_admin}\n"
        "Ctrl-C ends it."
    )
