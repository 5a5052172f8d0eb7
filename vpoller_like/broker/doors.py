"""The broker's sockets: where clients, workers, plain workers and operators come in."""

from __future__ import annotations

from vpoller_like.config import BrokerSettings
from vpoller_like.transport import sockets
from vpoller_like.transport.binding import Binding
from vpoller_like.transport.context import new_context
from vpoller_like.transport.monitor import PeerMonitor
from vpoller_like.transport.outbox import Outbox
from vpoller_like.transport.poll import Poll
from vpoller_like.transport.port import Port

#: Bytes that may wait for clients and workers that do not read.
MAX_UNSENT = 256 << 20


class Doors:
    """Binds all endpoints; raises ``ConfigError`` where one cannot be bound."""

    def __init__(self, settings: BrokerSettings) -> None:
        self._context = new_context()
        self._bound: list[tuple[Port, Binding]] = []
        self.endpoints: dict[str, str] = {}
        try:
            self._open(settings)
        except BaseException:
            self._close_ports(0)
            raise
        self.frontend_outbox = Outbox(self.frontend, MAX_UNSENT)
        self.backend_outbox = Outbox(self.backend, MAX_UNSENT)
        self.admin_outbox = Outbox(self.admin, MAX_UNSENT)
        self.backend_peers = PeerMonitor(self.backend)
        self.plain_peers = PeerMonitor(self.plain)
        self.poll = Poll()
        for port in (self.frontend, self.backend, self.plain):
            self.poll.watch(port)
        for source in (self.admin, self.backend_peers.socket, self.plain_peers.socket):
            self.poll.watch_rarely(source)

    def _open(self, settings: BrokerSettings) -> None:
        self.frontend = self._add("frontend", sockets.frontend(self._context, settings.frontend))
        self.backend = self._add("backend", sockets.backend(self._context, settings.backend))
        self.plain = self._add("plain", sockets.plain_backend(self._context, settings.plain))
        self.admin = self._add("admin", sockets.frontend(self._context, settings.admin))

    def _add(self, name: str, opened: tuple[Port, Binding]) -> Port:
        port, binding = opened
        self._bound.append(opened)
        self.endpoints[name] = binding.endpoint
        return port

    def close(self, linger_ms: int) -> None:
        """Close everything; what is not sent yet has ``linger_ms`` to leave."""
        self.backend_peers.close()
        self.plain_peers.close()
        self._close_ports(linger_ms)

    def _close_ports(self, linger_ms: int) -> None:
        for port, _ in self._bound:
            port.close(linger_ms)
        self._context.term()
        for _, binding in self._bound:
            binding.release()
