"""``vpoller-client``: asks once, with vPoller's flags, and prints what vPoller's prints."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import click

from vpoller_like.cli.credentials import connected, with_key_files
from vpoller_like.cli.exits import Exit
from vpoller_like.cli.failure import fail
from vpoller_like.cli.main import run
from vpoller_like.cli.output import emit_line
from vpoller_like.cli.session import Session
from vpoller_like.cli.upstream import script

log = logging.getLogger("vpoller.client")

#: What the client itself says, where nobody answered it.
_NO_ANSWER = ("unreachable", "timeout", "refused")
#: The parameters, by the option that gives each.
PARAMETERS = {
    "method": "method",
    "vsphere_host": "hostname",
    "name": "name",
    "guest_username": "username",
    "guest_password": "password",
    "key": "key",
    "properties": "properties",
    "counter": "counter-name",
    "instance": "instance",
    "max_sample": "max-sample",
    "perf_interval": "perf-interval",
    "helper": "helper",
}


@click.command("vpoller-client", context_settings=script.CONTEXT)
@click.option("-m", "--method", required=True, help="The method to ask for.")
@click.option("-V", "--vsphere-host", metavar="HOST", required=True, help="The vSphere host.")
@click.option("-n", "--name", help="Name of the object; of a datastore, its URL.")
@click.option("-p", "--properties", metavar="A,B", help="Properties of it, with commas.")
@click.option(
    "-r", "--retries", type=click.IntRange(1, 1000), default=3, show_default=True,
    help="How often to send the request in all.",
)  # fmt: skip
@click.option(
    "-t", "--timeout", type=click.IntRange(1, 86_400_000), default=10_000, show_default=True,
    metavar="MS", help="Milliseconds per try.",
)  # fmt: skip
@click.option("-e", "--endpoint", metavar="EP", help="The broker.  [default: client.endpoints]")
@click.option("-k", "--key", help="Filters the data.")
@click.option("-c", "--counter", help="Name of a performance counter.")
@click.option("-s", "--max-sample", metavar="N", help="Samples to retrieve at most.")
@click.option("-i", "--instance", help="Instance of a performance metric.")
@click.option("-T", "--perf-interval", metavar="INTERVAL", help="Name of a historical interval.")
@click.option("-U", "--guest-username", metavar="USER", help="User of the guest system.")
@click.option(
    "-P", "--guest-password", metavar="PASSWORD",
    help="His password. Users of this machine see it (ps); `vpoller call` takes password@=FILE.",
)  # fmt: skip
@click.option("-H", "--helper", help="Formats the result, as zabbix or csv.")
@script.common_options
@click.pass_obj
def command(
    session: Session,
    /,
    debug: bool,
    endpoint: str | None,
    timeout: int,
    retries: int,
    **options: str | None,
) -> int:
    """Ask for a method with vPoller's flags; print the reply, or the helper's text.

    Ends with 0 when the task succeeded, 1 when it failed, 2 for wrong usage, 3 where no broker
    could be reached, 4 where no reply came in time, 5 where the method, host or object was not
    found, and 6 where the broker does not let this client in.

    \b
    vpoller-client -m vm.discover -V vc01.example.org -p runtime.powerState
    vpoller-client -m vm.get -V vc01.example.org -n vm01 -p summary.overallStatus -H zabbix
    """
    session.verbosity = 2 if debug else 0
    session.start_logging()
    message = message_of(options)
    _keep_secret(message)
    session.flags |= {"client__timeout": timeout, "client__retries": retries}
    return answer(_asked(session, endpoint, message), message["helper"])


def message_of(options: Mapping[str, str | None]) -> dict[str, Any]:
    """Return the request that vPoller's client sends: all of its keys, unset ones null."""
    message: dict[str, Any] = {key: options[option] for option, key in PARAMETERS.items()}
    properties = message["properties"]
    message["properties"] = properties.split(",") if properties else None
    return message


def answer(reply: Mapping[str, Any], helper: str | None) -> Exit:
    """Print the reply, a helper's as the text that it is; return the exit code.

    A helper of vPoller's own worker answers with bare text, failed or not: that is 0.
    """
    text = text_of(reply) if helper else None
    if text is None:
        return script.answer(reply)
    emit_line(text.encode())
    return Exit.OK if _is_bare(reply) or reply.get("success") == 0 else fail(reply)


def text_of(reply: Mapping[str, Any]) -> str | None:
    """Return what vPoller prints after a helper; ``None`` where that is the envelope."""
    error = _error(reply)
    if _is_bare(reply):
        text = error.get("reply")
    elif reply.get("success") == 0:
        text = reply.get("result")
    else:
        text = None if error.get("code") in _NO_ANSWER else reply.get("msg")
    return text if isinstance(text, str) else None


def _is_bare(reply: Mapping[str, Any]) -> bool:
    """Say whether no envelope came, as from vPoller's worker after a helper."""
    return _error(reply).get("reason") == "malformed_reply"


def _error(reply: Mapping[str, Any]) -> Mapping[str, Any]:
    error = reply.get("error")
    return error if isinstance(error, Mapping) else {}


def _asked(session: Session, endpoint: str | None, message: dict[str, Any]) -> dict[str, Any]:
    settings = with_key_files(
        session.load(client__endpoints=None if endpoint is None else [endpoint]).settings
    )
    log.debug("to %s: %s", ", ".join(settings.endpoints), _shown(message))
    with connected(settings.endpoints, settings) as client:
        return client.run(message)


def _keep_secret(message: Mapping[str, Any]) -> None:
    if message["password"]:
        from vpoller_like.agent.vault import VAULT, guard_logs

        VAULT.keep([message["password"]])
        guard_logs()


def _shown(message: Mapping[str, Any]) -> dict[str, Any]:
    hidden = {"password": "***"} if message["password"] else {}
    return {key: value for key, value in {**message, **hidden}.items() if value is not None}


def main(argv: Sequence[str] | None = None) -> int:
    """Be ``vpoller-client``; return the exit code."""
    return run(command, "vpoller-client", argv)


if __name__ == "__main__":
    sys.exit(main())
