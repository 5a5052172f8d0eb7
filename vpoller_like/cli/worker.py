"""``vpoller worker``: run one, drain one."""

from __future__ import annotations

import click

from vpoller_like.cli.admin import admin_options, admin_settings
from vpoller_like.cli.credentials import key_options
from vpoller_like.cli.drain import drain_worker, wait_option
from vpoller_like.cli.session import Session


@click.group("worker")
def command() -> None:
    """Run workers, which serve the methods of their agents."""


@command.command("run")
@click.option("--backend", multiple=True, metavar="EP", help="A broker's backend; again for more.")
@click.option("--agents", metavar="NAME,NAME", help="The agents to load, by name.")
@click.option("--processes", type=int, metavar="N", help="Processes; 0 is one for each core.")
@click.option("--threads", type=int, metavar="M", help="Tasks that a process runs at once.")
@click.option("--name", metavar="NAME", help="Shown in `vpoller workers`.")
@key_options("worker")
@click.pass_obj
def run(
    session: Session,
    backend: tuple[str, ...],
    agents: str | None,
    processes: int | None,
    threads: int | None,
    name: str | None,
) -> int:
    """Run worker processes until SIGTERM, which lets running tasks finish; a second does not."""
    session.start_logging(service=True)
    settings = session.load(
        worker__backends=list(backend) or None,
        worker__agents=agents,
        worker__processes=processes,
        worker__threads=threads,
        worker__name=name,
    ).settings
    from vpoller_like.worker import run_worker

    return run_worker(settings)


@command.command("drain")
@click.argument("name")
@wait_option
@admin_options
@click.pass_obj
def drain(session: Session, name: str, admin: str | None, timeout: int | None, wait: float) -> int:
    """Have the worker NAME finish what it holds, take nothing new, and end.

    NAME is the worker's, or one of its processes' as `vpoller workers` shows it: they all end.
    """
    return drain_worker(admin_settings(session, admin, timeout), name, wait)
