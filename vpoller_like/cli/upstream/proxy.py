"""``vpoller-proxy``: the broker, started and asked as vPoller's proxy is."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from vpoller_like.cli.admin import admin_settings, ask
from vpoller_like.cli.main import run
from vpoller_like.cli.output import note
from vpoller_like.cli.session import BadSettings, Session
from vpoller_like.cli.upstream import script, service
from vpoller_like.cli.upstream.exposure import INNER_FRONTEND, exposed, require_guarded
from vpoller_like.errors import ConfigError
from vpoller_like.keys import KeyDirectory
from vpoller_like.loading import Loaded


@click.command("vpoller-proxy", context_settings=script.CONTEXT)
@service.service_options
@click.pass_obj
def command(
    session: Session, action: str, debug: bool, file: str | None, endpoint: str | None
) -> int:
    """vPoller's proxy: the broker under its old name.

    start runs it until SIGTERM, with the endpoints of the INI file. stop has it finish what it
    has accepted and end; status shows how it is. Both ask its admin endpoint (mgmt in the
    INI file), and end with 3 where nobody is there.

    \b
    vpoller-proxy -f /etc/vpoller/vpoller.conf start
    vpoller-proxy -e tcp://localhost:9999 status
    """
    service.require_fitting(action, endpoint, file=file)
    session.verbosity = int(debug)
    if action == "start":
        return start(session, file)
    return script.answer(_asked(session, action, endpoint))


def start(session: Session, file: str | None) -> int:
    """Run the broker that the INI ``file`` describes; raise ``BadSettings``."""
    session.start_logging(service=True)
    service.take_file(session, file, "proxy")
    try:
        settings = guarded(session).settings
    except ConfigError as error:
        raise BadSettings(error.message) from error
    from vpoller_like.broker import run_broker

    return run_broker(settings.broker, KeyDirectory(settings.security.keys))


def guarded(session: Session) -> Loaded:
    """Load the settings of a broker whose endpoints may be bound; raise ``ConfigError``.

    A frontend that is open to the network becomes the one for clients without keys, where it
    is said from which networks these may ask.
    """
    loaded = session.load()
    broker = loaded.settings.broker
    frontend = exposed(broker).get("frontend")
    if frontend and broker.allow_plain and not broker.open_frontend:
        networks = ", ".join(broker.allow_plain)
        note(f"{frontend} is broker.open_frontend: clients from {networks} may ask, nobody else.")
        loaded = session.load(broker__open_frontend=frontend, broker__frontend=INNER_FRONTEND)
    require_guarded(loaded)
    return loaded


def _asked(session: Session, action: str, endpoint: str | None) -> dict[str, Any]:
    settings = admin_settings(session, endpoint, service.PATIENCE)
    if action == "stop":
        return ask(settings, "shutdown")
    reply = ask(settings, "status")
    if reply.get("success") == 0:
        reply["result"] = _in_vpollers_words(reply["result"]) | reply["result"]
    return reply


def _in_vpollers_words(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return what vPoller's proxy says of itself, as far as a broker has it."""
    endpoints = status["endpoints"]
    return {
        "status": "draining" if status["draining"] else "running",
        "mgmt": endpoints["admin"],
        "frontend": endpoints.get("open_frontend", endpoints["frontend"]),
        "backend": endpoints["backend"],
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Be ``vpoller-proxy``; return the exit code."""
    return run(command, "vpoller-proxy", argv)


if __name__ == "__main__":
    sys.exit(main())
