"""The exporter: HTTP on one side, our client on the other."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import os
import signal
from typing import Any

from vpoller_like.client import AsyncVPollerClient
from vpoller_like.config import ClientSettings, ExporterSettings
from vpoller_like.errors import ConfigError
from vpoller_like.gateway.http import HttpServer
from vpoller_like.gateway.pages import Pages
from vpoller_like.gateway.scraper import Scraper
from vpoller_like.gateway.tally import Tally

log = logging.getLogger("vpoller.exporter")

#: Connections that there may be at once.
CONNECTIONS = 512


class Networks:
    """Who may ask: this machine, and the addresses of some networks."""

    def __init__(self, allow: list[str]) -> None:
        self._networks = [_network(each) for each in allow]

    def admit(self, address: str) -> bool:
        """Say whether a client at this address may ask."""
        peer = ipaddress.ip_address(address.partition("%")[0])
        if isinstance(peer, ipaddress.IPv6Address) and peer.ipv4_mapped:
            peer = peer.ipv4_mapped
        return peer.is_loopback or any(peer in network for network in self._networks)


def run_exporter(
    settings: ExporterSettings, client: ClientSettings, credentials: dict[str, Any]
) -> int:
    """Serve in the foreground until SIGTERM or SIGINT; return the exit code.

    Scrapes that are under way are finished first; a second signal ends at once.
    ``credentials`` are the client's arguments ``key`` and ``server_key``. Raises
    ``ConfigError`` where the address cannot be bound, or would be open to anybody.
    """
    host, port = _address(settings)
    admits = Networks(settings.allow).admit

    def make_client(seconds: float) -> AsyncVPollerClient:
        timeout = seconds * 1000 / client.retries
        return AsyncVPollerClient(client.endpoints, timeout, client.retries, **credentials)

    # Now, so that a key that cannot be read is said at once.
    make_client(1.0)

    async def serve() -> None:
        tally = Tally()
        scraper = Scraper(make_client, settings.method, settings.max_scrapes)
        pages = Pages(scraper, tally, settings.timeout_ms / 1000)
        server = HttpServer(pages.answer, admits, CONNECTIONS)
        await _serve(server, pages, host, port, settings)

    asyncio.run(serve())
    log.info("ended")
    return 0


async def _serve(
    server: HttpServer, pages: Pages, host: str, port: int, settings: ExporterSettings
) -> None:
    told = asyncio.Semaphore(0)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.release)
    try:
        bound = await server.start(host, port)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ConfigError(f"cannot listen on {settings.listen}: {reason}") from error
    pages.ready = True
    log.info(
        "ready: http://%s:%d/metrics", f"[{bound[0]}]" if ":" in bound[0] else bound[0], bound[1]
    )
    await told.acquire()
    pages.ready = False
    finishing = asyncio.ensure_future(server.close(settings.timeout_ms / 1000))
    again = asyncio.ensure_future(told.acquire())
    await asyncio.wait((finishing, again), return_when=asyncio.FIRST_COMPLETED)
    again.cancel()


def _address(settings: ExporterSettings) -> tuple[str, int]:
    """Return where to listen; refuse an address at which anybody could ask."""
    host, _, port = settings.listen.rpartition(":")
    host = host.strip("[]")
    if int(port) >= 1 << 16:
        raise ConfigError(f"exporter.listen: expected a port below 65536, got {port}")
    if _is_loopback(host):
        return host, int(port)
    if not settings.allow:
        raise ConfigError(
            f"exporter.listen: {settings.listen} is not a loopback address, and HTTP neither "
            "encrypts nor asks who calls; name the networks that may ask in exporter.allow, or "
            "listen on 127.0.0.1 and put a proxy with TLS before it"
        )
    log.warning(
        "%s: plain HTTP, open to %s: what is scraped can be read on the way",
        settings.listen,
        ", ".join(settings.allow),
    )
    return host, int(port)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    try:
        return ipaddress.ip_network(text)
    except ValueError as error:
        raise ConfigError(
            f"exporter.allow: expected networks such as 10.1.0.0/16 or addresses, got {text!r}: "
            f"{error}"
        ) from error
