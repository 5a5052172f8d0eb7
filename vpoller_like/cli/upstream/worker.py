"""``vpoller-worker``: a worker, started and asked as vPoller's worker is."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click

from vpoller_like.cli.admin import admin_settings, ask
from vpoller_like.cli.main import run
from vpoller_like.cli.output import note
from vpoller_like.cli.session import BadSettings, Session
from vpoller_like.cli.upstream import mapping, script, service
from vpoller_like.cli.upstream.mapping import Fate
from vpoller_like.config import ClientSettings, WorkerSettings
from vpoller_like.errors import TaskFailed
from vpoller_like.loading import Loaded
from vpoller_like.protocol.reply import SUCCESS, failure_fields
from vpoller_like.transport.binding import is_local


@click.command("vpoller-worker", context_settings=script.CONTEXT)
@click.option(
    "-c",
    "--concurrency",
    type=click.IntRange(min=0),
    metavar="N",
    help="Worker processes.  [default: one for each core]",
)
@service.service_options
@click.pass_obj
def command(
    session: Session,
    action: str,
    concurrency: int | None,
    debug: bool,
    file: str | None,
    endpoint: str | None,
) -> int:
    """vPoller's worker under its old name.

    start runs its processes until SIGTERM, for the proxy of the INI file. A worker has no
    endpoint of its own: stop and status ask the broker's admin endpoint for the worker of this
    machine's name (or worker.name), and end with 5 where none is registered there, with 3
    where no broker is.

    \b
    vpoller-worker -f /etc/vpoller/vpoller.conf -c 4 start
    vpoller-worker -e tcp://localhost:9999 status
    """
    service.require_fitting(action, endpoint, file=file, concurrency=concurrency)
    session.verbosity = int(debug)
    if action == "start":
        return start(session, file, concurrency)
    return script.answer(_asked(session, action, endpoint))


def start(session: Session, file: str | None, concurrency: int | None) -> int:
    """Run the worker that the INI ``file`` describes; raise ``BadSettings``."""
    session.start_logging(service=True)
    _require_agents(service.take_file(session, file, "worker"))
    session.flags["worker__processes"] = concurrency
    loaded = session.load()
    if loaded.origins["worker.agents"].kind == "default":
        loaded = session.load(worker__agents=mapping.AGENTS)
    _tell_of_keys(loaded)
    from vpoller_like.worker import run_worker

    return run_worker(loaded.settings)


def _require_agents(fates: Iterable[Fate]) -> None:
    for fate in fates:
        is_tasks = (fate.entry.section, fate.entry.key) == ("worker", "tasks")
        if is_tasks and fate.entry.value and not fate.settings:
            raise BadSettings(f"{fate}; or name {next(iter(mapping.TASKS))} as well")


def _tell_of_keys(loaded: Loaded) -> None:
    worker = loaded.settings.worker
    far = [backend for backend in worker.backends if not is_local(backend)]
    if far and not worker.server_key:
        note(
            f"{', '.join(far)}: a broker on another machine asks for keys; set worker.key and "
            "worker.server_key (VPOLLER_WORKER_KEY, VPOLLER_WORKER_SERVER_KEY)."
        )


def _asked(session: Session, action: str, endpoint: str | None) -> dict[str, Any]:
    settings = admin_settings(session, endpoint, service.PATIENCE)
    name = name_of(session.load().settings.worker)
    stops = action == "stop"
    reply = ask(settings, "worker.drain", name=name) if stops else _status(settings, name)
    if reply.get("error", {}).get("code") == "unreachable":
        note("A worker has no endpoint: -e is the broker's admin endpoint, tcp://localhost:9999.")
    return reply


def name_of(worker: WorkerSettings) -> str:
    """Return the name under which a worker with these settings is registered."""
    return worker.name or platform.node() or "worker"


def _status(settings: ClientSettings, name: str) -> dict[str, Any]:
    reply = ask(settings, "workers")
    if reply.get("success") != SUCCESS:
        return reply
    ours = [worker for worker in reply["result"] if _is_of(worker["label"], name)]
    if not ours:
        error = TaskFailed(
            f"no worker {name} is registered at {settings.admin}; start one, or set worker.name",
            reason="not_found",
        )
        return failure_fields(error)
    return {**reply, "msg": f"worker {name} at {settings.admin}", "result": _report(ours)}


def _is_of(label: str, name: str) -> bool:
    return label == name or label.startswith(f"{name}/")


def _report(workers: list[dict[str, Any]]) -> dict[str, Any]:
    """Return what vPoller's worker says of itself, as far as the broker knows it."""
    draining = all(worker["state"] == "draining" for worker in workers)
    return {
        "status": "draining" if draining else "running",
        "hostname": platform.node(),
        "concurrency": len({worker["pid"] for worker in workers}),
        "workers": workers,
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Be ``vpoller-worker``; return the exit code."""
    return run(command, "vpoller-worker", argv)


if __name__ == "__main__":
    sys.exit(main())
