"""The console script: global options, and the last word on every error."""

from __future__ import annotations

from collections.abc import Sequence

import click

from vpoller_like import __version__
from vpoller_like.cli.exits import Exit, exit_for
from vpoller_like.cli.lazy import LazyGroup
from vpoller_like.cli.session import Session
from vpoller_like.errors import VPollerError

VERBS = {
    verb: f"vpoller_like.cli.{verb}"
    for verb in (
        "dev",
        "broker",
        "worker",
        "call",
        "exporter",
        "doctor",
        "status",
        "workers",
        "methods",
        "keys",
        "config",
        "version",
        "completion",
    )
}


@click.group(cls=LazyGroup, verbs=VERBS, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", metavar="FILE", help="Settings that come before ./vpoller.toml's.")
@click.option("-v", "--verbose", count=True, help="Log more, to stderr; show tracebacks.")
@click.version_option(__version__, prog_name="vpoller", message="%(prog)s %(version)s")
@click.pass_context
def vpoller(ctx: click.Context, config: str | None, verbose: int) -> None:
    """Distribute tasks over ZeroMQ: any REQ socket asks, workers answer.

    `vpoller dev` starts everything on this machine; `vpoller call system.status` asks it.
    """
    session = ctx.ensure_object(Session)
    session.config, session.verbosity = config, verbose
    session.start_logging()


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``vpoller`` with ``argv`` (the process's own unless given); return the exit code.

    Data goes to stdout alone. An error is one sentence on stderr, and its traceback with
    ``-v``.
    """
    return run(vpoller, "vpoller", argv)


def run(command: click.Command, name: str, argv: Sequence[str] | None = None) -> int:
    """Run ``command``, a program of this ``name``, as :func:`main` runs ``vpoller``."""
    session = Session()
    try:
        code = command.main(argv, prog_name=name, standalone_mode=False, obj=session)
        return code if isinstance(code, int) else Exit.OK
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except click.ClickException as error:
        _show_traceback(session)
        error.show()
        return error.exit_code
    except Exception as error:
        _show_traceback(session)
        click.echo(f"Error: {_discreet(_sentence(error))}", err=True)
        return _exit_of(error)


def _exit_of(error: Exception) -> Exit:
    return exit_for(error.code, error.details) if isinstance(error, VPollerError) else Exit.FAILED


def _sentence(error: Exception) -> str:
    """Say ``error`` in one sentence; what nobody foresaw asks for its traceback."""
    if isinstance(error, VPollerError):
        return error.message
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return (
        f"this should not have happened: {type(error).__name__}: {error}; "
        "run it with `vpoller -v` and report the traceback"
    )


def _show_traceback(session: Session) -> None:
    if session.verbosity:
        import traceback

        click.echo(_discreet(traceback.format_exc()), err=True, nl=False)


def _discreet(text: str) -> str:
    """Leave out the secrets that this process has come to know, by loading agents."""
    from vpoller_like.agent.vault import VAULT

    return VAULT.hide(text)
