"""``vpoller exporter``: metrics for Prometheus."""

from __future__ import annotations

import click

from vpoller_like.cli.credentials import key_arguments, key_options, with_key_files
from vpoller_like.cli.session import Session
from vpoller_like.errors import ConfigError

#: What the exporter needs beyond the rest, by an extra.
_EXTRA = ("prometheus_client", "h11")


@click.command("exporter")
@click.option("--listen", metavar="ADDR:PORT", help="Where to serve HTTP.")
@click.option("--allow", multiple=True, metavar="NET", help="Who may ask besides this machine.")
@click.option("--method", metavar="NAME", help="The method that collects a target's metrics.")
@click.option("--endpoint", multiple=True, metavar="EP", help="A broker; again for the next one.")
@key_options("client")
@click.pass_obj
def command(
    session: Session,
    listen: str | None,
    allow: tuple[str, ...],
    method: str | None,
    endpoint: tuple[str, ...],
) -> int:
    """Serve metrics over HTTP to Prometheus until SIGTERM.

    /metrics?target=NAME asks the broker for the metrics of the host NAME; further parameters
    go to the method that collects them. /metrics alone is the exporter's own.
    """
    session.start_logging(service=True)
    settings = session.load(
        exporter__listen=listen,
        exporter__allow=list(allow) or None,
        exporter__method=method,
        client__endpoints=list(endpoint) or None,
    ).settings
    client = with_key_files(settings)
    try:
        from vpoller_like.gateway import run_exporter

        return run_exporter(settings.exporter, client, key_arguments(client))
    except ModuleNotFoundError as error:
        if error.name not in _EXTRA:
            raise
        raise ConfigError(
            f"the exporter needs {error.name}: pip install 'vpoller-like[metrics]'"
        ) from error
