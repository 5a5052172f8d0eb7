"""``vpoller version``: this program's version, and of what it stands on."""

from __future__ import annotations

import platform
from importlib.metadata import version

import click

from vpoller_like import __version__
from vpoller_like.cli.output import emit, output_option


@click.command("version")
@output_option
def command(output: str | None) -> None:
    """Show the versions of vpoller, Python and the libraries used.

    transport is c where messages are read and written by the C extension, and pure in Python;
    core likewise, for what each request goes through in a broker, in a worker and in its agents.
    """
    # Here, so that `--help` does not wait for zmq.
    from vpoller_like.agent.compiled import TWINS as AGENT
    from vpoller_like.broker.compiled import TWINS as BROKER
    from vpoller_like.transport import burst
    from vpoller_like.transport.compiled import TWINS as TRANSPORT
    from vpoller_like.worker.compiled import TWINS as WORKER

    libraries = {name: version(name) for name in ("pyzmq", "msgspec", "msgpack", "click")}
    versions = {"vpoller": __version__, "python": platform.python_version(), **libraries}
    kinds = {twins.kind for twins in (AGENT, BROKER, TRANSPORT, WORKER)}
    core = "c" if kinds == {"c"} else "pure"
    emit({**versions, "transport": burst.KIND, "core": core}, output)
