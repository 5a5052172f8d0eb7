"""``vpoller worker``: run one."""

from __future__ import annotations

import click

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
